"""Messages that could not be used: kept with payload, reason and place, to be listed and replayed."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from confluent_kafka import Consumer, TopicPartition

from contracts.engine_records import DeadLetter, decode_dead_letter, encode_dead_letter
from contracts.errors import UnavailableError
from contracts.metrics import DEAD_LETTERS
from contracts.settings import KafkaSettings
from contracts.topics import DEAD_LETTER
from operators.event_columns import Bad, RawMessages
from streams.kafka import Publisher, client_config
from streams.topics import admin, describe

KEY_HEADER: Final = "key"  # the message's own key, so that a replay lands in the same partition
_FLUSH_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class DeadLetters:
    """The way in. `send` returns when Kafka has the letters: the position may move then."""

    publisher: Publisher
    clock_ms: Callable[[], int]

    def send(self, topic: str, raw: RawMessages, bad: Sequence[Bad], kind: str) -> None:
        """Publish the messages named by `bad`.

        Raises:
            UnavailableError: Kafka did not acknowledge all of them.
        """
        if not bad:
            return
        failed: list[str] = []
        for b in bad:
            partition = int(raw.slot_keys[b.index]) & 0xFF_FFFF
            letter = DeadLetter.of(
                raw.values[b.index] or b"",
                b.reason,
                topic,
                partition,
                int(raw.offsets[b.index]),
                self.clock_ms(),
            )
            key = raw.keys[b.index]
            self.publisher.produce(
                DEAD_LETTER.name,
                f"{topic}:{partition}".encode(),
                encode_dead_letter(letter),
                lambda error, _: failed.append(str(error)) if error else None,
                [(KEY_HEADER, key)] if key is not None else None,
            )
        self.publisher.flush(_FLUSH_S)
        if failed:
            raise UnavailableError(f"dead letters were refused: {failed[0]}")
        DEAD_LETTERS.labels(topic, kind).inc(len(bad))


@dataclass(frozen=True, slots=True)
class Found:
    """A dead letter and where it stands itself."""

    letter: DeadLetter
    key: bytes | None
    partition: int
    offset: int


def read_dead_letters(kafka: KafkaSettings, timeout_s: float = 10.0) -> Iterator[Found]:
    """Every dead letter that is kept, partition by partition, oldest first; then ends."""
    name = kafka.topic_prefix + DEAD_LETTER.name
    _, partitions = describe(admin(kafka), [name])[name]
    consumer = Consumer(
        client_config(kafka) | {"group.id": "headrace.dead-letters", "enable.auto.commit": False}
    )
    try:
        for partition in range(partitions):
            yield from _read(consumer, name, partition, timeout_s)
    finally:
        consumer.close()


def _read(consumer: Consumer, name: str, partition: int, timeout_s: float) -> Iterator[Found]:
    low, high = consumer.get_watermark_offsets(TopicPartition(name, partition), timeout=timeout_s)
    if low >= high:
        return
    consumer.assign([TopicPartition(name, partition, low)])
    until, at = time.monotonic() + timeout_s, low
    while at < high and time.monotonic() < until:
        for m in consumer.consume(500, 0.2):
            if m.error() is not None:
                continue
            at = (m.offset() or 0) + 1
            headers = dict(m.headers() or [])
            key = headers.get(KEY_HEADER)
            yield Found(
                decode_dead_letter(m.value() or b""),
                key.encode() if isinstance(key, str) else key,
                partition,
                at - 1,
            )


def replay(found: Sequence[Found], publisher: Publisher) -> int:
    """Produce the letters' payloads to the topics they came from; how many.

    Raises:
        UnavailableError: Kafka did not acknowledge all of them.
    """
    for f in found:
        publisher.produce(f.letter.topic, f.key, f.letter.payload or None)
    publisher.flush(_FLUSH_S)
    return len(found)
