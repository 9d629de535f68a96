"""The Kafka source: partitions assigned by hand, from positions that lie beside the state.

No consumer group decides who reads what: process k of n takes the partitions p with p mod n = k,
and a batch that was not written is read again from the stored position. The group's offsets are only
mirrored, for everybody's lag tools.
"""

import contextlib
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

from confluent_kafka import (
    Consumer,
    KafkaError,
    KafkaException,
    TopicPartition,
)

from contracts.errors import UnavailableError
from contracts.metrics import GENERATIONS, LAG, MESSAGES_LOST
from contracts.settings import KafkaSettings, StreamSettings
from streams.batches import Batch, batch_of
from streams.kafka import client_config
from streams.outage import Outage
from streams.positions import Stored
from streams.topics import admin, describe

_log = logging.getLogger(__name__)
_TIMEOUT_S: Final = 10.0
_FIRST_MESSAGE_S: Final = 0.05
_GATHER_S: Final = 0.001  # the partitions of one fetch come one after the other
_MIRROR_EVERY_S: Final = 1.0
_AWAY_EVERY_S: Final = 2.0  # look so often whether a broker that was away is back
# Errors after which librdkafka has lost its place or its topic: look at the broker afresh.
_LOST_PLACE: Final = frozenset(
    {
        KafkaError._AUTO_OFFSET_RESET,  # noqa: SLF001 (librdkafka's own name)
        KafkaError.OFFSET_OUT_OF_RANGE,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError.UNKNOWN_TOPIC_ID,
        KafkaError._UNKNOWN_PARTITION,  # noqa: SLF001
        KafkaError._UNKNOWN_TOPIC,  # noqa: SLF001
    }
)


class Positions(Protocol):
    """Where a flow keeps its positions."""

    def load(self, sources: Sequence[str]) -> Mapping[str, Stored | None]: ...


class PartitionReader:
    """Reads this process's partitions of some topics, in micro-batches.

    Not thread-safe: `poll`, `stored` and `rewind` belong to the thread of the flow.

    Attributes:
        on_open: called before the stored positions are read.
        outage: since when Kafka, or what the flow writes to, has been away.
    """

    def __init__(
        self,
        kafka: KafkaSettings,
        stream: StreamSettings,
        flow: str,
        topics: Sequence[str],
        positions: Positions,
        fetch_min_bytes: int = 1,
    ) -> None:
        """Nothing is asked yet.

        Args:
            fetch_min_bytes: the broker holds a fetch until there is so much, or its time is over.
        """
        self._prefix, self._stream, self._positions = kafka.topic_prefix, stream, positions
        self._topics = tuple(topics)
        self._admin = admin(kafka)
        self._consumer = Consumer(
            client_config(kafka)
            | {
                "group.id": f"{kafka.topic_prefix}headrace.{flow}",
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "auto.offset.reset": "error",  # a position outside its partition is ours to judge
                "queued.max.messages.kbytes": stream.queue_kbytes,
                # The default of 1000 ms starves a flow that is faster than the fetches.
                "fetch.queue.backoff.ms": 10,
                "fetch.wait.max.ms": kafka.fetch_wait_ms,
                "fetch.min.bytes": fetch_min_bytes,
                "fetch.message.max.bytes": 4 << 20,
            }
        )
        self._at: dict[str, Stored] = {}
        self._stored: dict[str, str] = {}
        self._mirror: dict[str, int] = {}
        self._mirrored_at = 0.0
        self._look_at = self._next_at = 0.0
        self._lost = False
        self.on_open: Callable[[], None] | None = None
        self.outage = Outage()
        for topic in topics:  # a counter that begins with its first count has not risen by it
            GENERATIONS.labels(topic)
            MESSAGES_LOST.labels(topic)

    @property
    def sources(self) -> tuple[str, ...]:
        """The partitions that this process reads, as "events:3"."""
        return tuple(self._at)

    @property
    def places(self) -> dict[str, tuple[str, Stored]]:
        """Of each source the position as it is stored (empty: none is), and the next one to read."""
        return {source: (self._stored[source], at) for source, at in self._at.items()}

    def open(self) -> None:
        """Find the partitions and start at their stored positions.

        `on_open` is called first: what was folded ahead of the stored positions is read again. If
        this fails, every `poll` tries it again before it takes another message.

        Raises:
            UnavailableError: Kafka does not answer, or a topic does not exist.
        """
        self._lost = True
        if self.on_open is not None:
            self.on_open()
        found = describe(self._admin, [self._prefix + t for t in self._topics], _TIMEOUT_S)
        mine = {
            f"{topic}:{p}": found[self._prefix + topic][0]
            for topic in self._topics
            for p in range(found[self._prefix + topic][1])
            if p % self._stream.process_count == self._stream.process_index
        }
        for topic in self._topics:  # else the consumer knows nothing of new partitions for minutes
            self._list(topic)
        stored = self._positions.load(list(mine))
        self._at = {source: self._judge(source, mine[source], stored[source]) for source in mine}
        self._stored = {s: "" if stored[s] is None else str(stored[s]) for s in mine}
        self._consumer.assign([self._partition(s, at.offset) for s, at in self._at.items()])
        self._look_at = time.monotonic() + self._stream.partitions_every_s
        self._lost = False

    def _list(self, topic: str) -> None:
        try:
            self._consumer.list_topics(self._prefix + topic, _TIMEOUT_S)
        except KafkaException as e:
            raise UnavailableError(f"{topic}: {e}") from None

    rewind = open  # after a fence, or a lost place: read the positions again and go there

    def _judge(self, source: str, topic_id: str, stored: Stored | None) -> Stored:
        """Where to begin: the stored position, if it still means something."""
        topic = source.rpartition(":")[0]
        try:
            low, high = self._consumer.get_watermark_offsets(
                self._partition(source), timeout=_TIMEOUT_S
            )
        except KafkaException as e:
            raise UnavailableError(f"{source}: {e}") from None
        if stored is None:
            return Stored(0, topic_id, low)
        if stored.topic_id != topic_id or stored.offset > high:
            GENERATIONS.labels(topic).inc()
            _log.error("topic %s was recreated (position %s, end %d): reading anew from %d",
                       source, stored, high, low)  # fmt: skip
            return Stored(stored.generation + 1, topic_id, low)
        if stored.offset < low:
            MESSAGES_LOST.labels(topic).inc(low - stored.offset)
            _log.error("%s: retention deleted %d messages before they were read",
                       source, low - stored.offset)  # fmt: skip
            return Stored(stored.generation, topic_id, low)
        return stored

    def _partition(self, source: str, offset: int = 0) -> TopicPartition:
        topic, _, partition = source.rpartition(":")
        return TopicPartition(self._prefix + topic, int(partition), offset)

    def poll(self) -> Batch | None:
        """The next micro-batch, None if nothing came; waits at most ~50 ms.

        Batches begin `poll_ms` apart: what comes when nothing was under way is not held up, and what
        came while the batch before was written does not wait again.

        Raises:
            UnavailableError: the place was lost and the broker does not say why.
        """
        if self._lost:
            self.rewind()
        self._mirror_if_due()
        if time.monotonic() >= self._look_at:
            self._refresh()
        got = self._consumer.consume(1, _FIRST_MESSAGE_S)
        if not got:
            return None
        if self._stream.batch_events > 1:
            rest_s = max(self._next_at - time.monotonic(), _GATHER_S)
            got += self._consumer.consume(self._stream.batch_events - 1, rest_s)
        self._next_at = time.monotonic() + self._stream.poll_ms / 1000
        usable = [m for m in got if m.error() is None]
        if usable:
            self.outage.end()
        if len(usable) < len(got) and self._lost_place([m.error() for m in got]):
            self.rewind()  # what was fetched beside the error is read again with the rest
            return None
        return batch_of(usable, self._prefix, self._at, self._stored)

    @staticmethod
    def _lost_place(errors: Sequence[KafkaError | None]) -> bool:
        found = [e for e in errors if e is not None]
        for error in found:
            _log.warning("kafka: %s", error)
        return bool({e.code() for e in found} & _LOST_PLACE)

    def _refresh(self) -> None:
        """Notice new partitions, recreated topics, and services that are away or not what they were.

        Raises:
            UnavailableError, redis.RedisError: Redis, or the broker about its new partitions.
        """
        self._measure_lag(self._at)
        try:
            found = describe(self._admin, [self._prefix + t for t in self._topics], 2.0)
        except UnavailableError as e:
            _log.warning("%s: %s", self._topics, e)
            self.outage.begin()
            self._look_at = time.monotonic() + min(_AWAY_EVERY_S, self._stream.partitions_every_s)
            return
        self.outage.end()
        known = {(s.rpartition(":")[0], at.topic_id) for s, at in self._at.items()}
        count = sum(
            len(range(self._stream.process_index, n, self._stream.process_count))
            for _, n in found.values()
        )
        ids = {(t, found[self._prefix + t][0]) for t in self._topics}
        if count != len(self._at) or not known <= ids:
            _log.warning("the partitions of %s have changed: assigning anew", self._topics)
            self.open()
        elif self._moved():  # nothing may come that would be fenced
            _log.warning("stored positions of %s are others: reading on from them", self._topics)
            self.open()
        self._look_at = time.monotonic() + self._stream.partitions_every_s

    def _measure_lag(self, positions: Mapping[str, Stored]) -> None:
        for source, at in positions.items():
            topic, _, partition = source.rpartition(":")
            with contextlib.suppress(KafkaException):
                _, high = self._consumer.get_watermark_offsets(self._partition(source), cached=True)
                LAG.labels(topic, partition).set(max(high - at.offset, 0))

    def _moved(self) -> bool:
        stored = self._positions.load(list(self._at))
        return any(str(at or "") != self._stored[source] for source, at in stored.items())

    def advance(self, after: Mapping[str, Stored]) -> None:
        """The messages before `after` are folded in memory: read on behind them."""
        self._at.update(after)

    def stored(self, after: Mapping[str, Stored]) -> None:
        """The positions are durable: remember; the consumer group hears of it in a second."""
        self._at.update(
            {s: p for s, p in after.items() if s in self._at and _behind(self._at[s], p)}
        )
        self._stored.update({s: str(p) for s, p in after.items()})
        self._mirror.update({s: p.offset for s, p in after.items()})
        self._measure_lag(after)

    def _mirror_if_due(self) -> None:
        """Tell the consumer group, for lag tools; once a second, since each costs the broker a write."""
        if not self._mirror or time.monotonic() - self._mirrored_at < _MIRROR_EVERY_S:
            return
        at = [self._partition(s, offset) for s, offset in self._mirror.items()]
        self._mirror, self._mirrored_at = {}, time.monotonic()
        try:
            self._consumer.commit(offsets=at, asynchronous=True)
        except KafkaException as e:
            _log.debug("group offsets not mirrored: %s", e)

    def close(self) -> None:
        """Leave the broker."""
        self._mirrored_at = -_MIRROR_EVERY_S
        self._mirror_if_due()
        self._consumer.close()


def _behind(at: Stored, stored: Stored) -> bool:
    return at.generation == stored.generation and at.offset < stored.offset
