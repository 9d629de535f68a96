"""Messages that could not be used: kept with payload, reason and place, to be listed and replayed."""

import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from contracts.engine_records import DeadLetter, decode_dead_letter, encode_dead_letter
from contracts.errors import BadMessageError, UnavailableError
from contracts.metrics import DEAD_LETTERS
from contracts.settings import KafkaSettings
from contracts.topics import DEAD_LETTER
from operators.event_columns import Bad, RawMessages
from streams.kafka import Headers, OnAck, Publisher, client_config
from streams.topics import admin, describe

_log = logging.getLogger(__name__)
KEY_HEADER: Final = "key"  # the message's own key, so that a replay lands in the same partition
NULL_HEADER: Final = (
    "null"  # the message had no value at all, which is not the same as an empty one
)
CUT_HEADER: Final = "cut"  # the payload did not fit: how many bytes it had
_CUT_BYTES: Final = 65_536
_REMEMBERED: Final = 100_000
Letter = tuple[bytes, bytes, Headers]
_FLUSH_S: Final = 30.0
_AT_ONCE: Final = 50  # of 1 MB at most: they fit into the publisher's queue


class DeadLetters:
    """The way in. `send` returns when Kafka has the letters: the position may move then.

    What was buried is remembered for a while, so that a batch that is retried does not bury it anew.
    Its generation is part of its place: a topic that was made again begins at the same offsets.
    """

    def __init__(self, publisher: Publisher, clock_ms: Callable[[], int]) -> None:
        self._publisher, self._clock_ms = publisher, clock_ms
        self._buried: OrderedDict[tuple[str, int, int], None] = OrderedDict()

    def send(self, topic: str, raw: RawMessages, bad: Sequence[Bad], kind: str) -> None:
        """Publish the messages named by `bad`; one too large for the topic goes with its payload cut.

        Raises:
            UnavailableError: Kafka did not acknowledge all of them.
        """
        places = [(topic, int(raw.slot_keys[b.index]), int(raw.offsets[b.index])) for b in bad]
        fresh = [
            (place, b) for place, b in zip(places, bad, strict=True) if place not in self._buried
        ]
        if not fresh:
            return
        too_large = self._publish([self._letter(topic, raw, b, None) for _, b in fresh])
        if too_large:
            cut = [self._letter(topic, raw, fresh[i][1], _CUT_BYTES) for i in too_large]
            if self._publish(cut):
                raise UnavailableError(f"dead letters do not fit into {DEAD_LETTER.name}")
        DEAD_LETTERS.labels(topic, kind).inc(len(fresh))
        for place, _ in fresh:
            self._buried[place] = None
        while len(self._buried) > _REMEMBERED:
            self._buried.popitem(last=False)

    def _letter(self, topic: str, raw: RawMessages, bad: Bad, cut: int | None) -> Letter:
        i, value = bad.index, raw.values[bad.index]
        partition, key = int(raw.slot_keys[i]) & 0xFF_FFFF, raw.keys[i]
        payload, reason = (value or b"")[:cut], bad.reason
        headers: Headers = [] if key is None else [(KEY_HEADER, key)]
        if value is None:
            headers.append((NULL_HEADER, b"1"))
        elif len(payload) < len(value):
            headers.append((CUT_HEADER, str(len(value)).encode()))
            reason = f"{reason} (payload of {len(value)} bytes, cut)"
        letter = DeadLetter.of(
            payload, reason, topic, partition, int(raw.offsets[i]), self._clock_ms()
        )
        return f"{topic}:{partition}".encode(), encode_dead_letter(letter), headers

    def _publish(self, letters: Sequence[Letter]) -> list[int]:
        """Indexes of the letters that are too large; the others are acknowledged on return."""
        errors: dict[int, KafkaError] = {}
        large: list[int] = []

        def note(i: int) -> OnAck:
            return lambda error, _: errors.update({i: error} if error is not None else {})

        for i, (key, value, headers) in enumerate(letters):
            try:
                self._publisher.produce(DEAD_LETTER.name, key, value, note(i), headers)
            except BadMessageError:
                large.append(i)
        self._publisher.flush(_FLUSH_S)
        refused = [i for i, e in errors.items() if e.code() == KafkaError.MSG_SIZE_TOO_LARGE]
        if len(refused) < len(errors):
            other = next(e for i, e in errors.items() if i not in refused)
            raise UnavailableError(f"dead letters were refused: {other}")
        return large + refused


@dataclass(frozen=True, slots=True)
class Found:
    """A dead letter and where it stands itself."""

    letter: DeadLetter
    key: bytes | None
    was_null: bool
    is_cut: bool
    partition: int
    offset: int


def read_dead_letters(kafka: KafkaSettings, timeout_s: float = 10.0) -> Iterator[Found]:
    """Every dead letter that is there now, partition by partition, oldest first.

    What came of one partition of a topic lies in one partition, so each keeps its order.

    Raises:
        UnavailableError: Kafka does not answer for `timeout_s`; the listing is cut there.
    """
    name = kafka.topic_prefix + DEAD_LETTER.name
    _, partitions = describe(admin(kafka), [name])[name]
    consumer = Consumer(
        client_config(kafka) | {"group.id": "headrace.dead-letters", "enable.auto.commit": False}
    )
    try:
        # All ends first: what is replayed meanwhile, and buried again, is not read.
        places = [TopicPartition(name, p) for p in range(partitions)]
        ends = [consumer.get_watermark_offsets(place, timeout=timeout_s) for place in places]
        for partition, (low, high) in enumerate(ends):
            if low < high:
                consumer.assign([TopicPartition(name, partition, low)])
                yield from _read(consumer, name, partition, low, high, timeout_s)
    except KafkaException as e:
        raise UnavailableError(f"{name}: {e}") from None
    finally:
        consumer.close()


def _read(
    consumer: Consumer, name: str, partition: int, at: int, high: int, timeout_s: float
) -> Iterator[Found]:
    until = time.monotonic() + timeout_s
    while at < high:
        if time.monotonic() > until:
            raise UnavailableError(f"{name}: no answer behind offset {at} of {high}")
        for m in consumer.consume(500, 0.2):
            if m.error() is not None:
                continue
            at, until = (m.offset() or 0) + 1, time.monotonic() + timeout_s
            try:
                found = _found(m, partition)
            except BadMessageError as e:
                _log.warning("%s %d@%d is passed over: %s", name, partition, at - 1, e)
            else:
                yield found


def _found(message: Message, partition: int) -> Found:
    headers = dict(message.headers() or [])
    key = headers.get(KEY_HEADER)
    return Found(
        decode_dead_letter(message.value() or b""),
        key.encode() if isinstance(key, str) else key,
        NULL_HEADER in headers,
        CUT_HEADER in headers,
        partition,
        message.offset() or 0,
    )


def replay(found: Iterable[Found], publisher: Publisher) -> int:
    """Produce the letters' payloads to the topics they came from; how many.

    A letter whose payload was cut is left out: it is not the message any more.

    Raises:
        UnavailableError: Kafka did not acknowledge all of them.
    """
    sent, failed = 0, list[str]()
    for f in found:
        if f.is_cut:
            continue
        # An empty message is not a null one: a null one would remove a video or forget a person.
        value = None if f.was_null else f.letter.payload
        publisher.produce(
            f.letter.topic, f.key, value, lambda e, _: failed.append(str(e)) if e else None
        )
        sent += 1
        if sent % _AT_ONCE == 0:
            publisher.flush(_FLUSH_S)
        if failed:
            break
    publisher.flush(_FLUSH_S)
    if failed:
        raise UnavailableError(f"{len(failed)} of {sent} were refused: {failed[0]}")
    return sent
