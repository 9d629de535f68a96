"""Following a compacted topic from its beginning (or a snapshot's offsets), in every replica."""

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from contracts.errors import UnavailableError
from contracts.metrics import MESSAGES_LOST, UNUSABLE
from contracts.settings import KafkaSettings
from streams.kafka import client_config
from streams.outage import Outage
from streams.topics import admin, describe

_log = logging.getLogger(__name__)
_TIMEOUT_S: Final = 10.0
_BATCH: Final = 2000
_LIVE_BATCH: Final = 512  # once feeds are answered: no call for a batch holds the interpreter long
_PARTITIONS_EVERY_S: Final = 30.0
_AWAY_EVERY_S: Final = 2.0

Apply = Callable[[str, Sequence[Message]], object]  # logical topic, messages in offset order


@dataclass(frozen=True, slots=True)
class Followed:
    """How far a follower has come: source ("video-vectors:2") -> (topic id, next offset)."""

    offsets: Mapping[str, tuple[str, int]]


class TopicFollower:
    """Calls `apply` with every message of some topics, in a thread of its own.

    `caught_up` is set once everything that was there at the start has been applied. Kafka going
    away is waited out; what was applied stays.

    Args:
        gather_s: how long a batch may fill once all that was there is applied, asked before each. A
            batch of few costs nearly what one of hundreds does.

    Attributes:
        caught_up: see above.
        outage: since when Kafka has been away.
    """

    def __init__(
        self,
        kafka: KafkaSettings,
        topics: Sequence[str],
        apply: Apply,
        start: Followed | None = None,
        gather_s: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self._kafka, self._topics, self._apply = kafka, tuple(topics), apply
        self._gather_s = gather_s
        self._start = dict(start.offsets) if start else {}
        self._at: dict[str, tuple[str, int]] = {}
        self._ends: dict[str, int] = {}
        self.caught_up, self.outage = threading.Event(), Outage()
        for topic in topics:  # a counter that begins with its first count has not risen by it
            MESSAGES_LOST.labels(topic)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="follower", daemon=True)

    @property
    def followed(self) -> Followed:
        """A copy; never ahead of what was applied."""
        return Followed(self._at.copy())

    @property
    def alive(self) -> bool:
        """Whether its thread runs, or was not started yet."""
        return self._thread.ident is None or self._thread.is_alive()

    def start(self) -> None:
        """Begin in the background."""
        self._thread.start()

    def close(self) -> None:
        """Stop and wait for the thread."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(10.0)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._follow()
            except (UnavailableError, KafkaException) as e:
                self.outage.begin()
                _log.warning("follower waits: %s", e)
                self._stop.wait(0.5)

    def _follow(self) -> None:
        prefix = self._kafka.topic_prefix
        consumer = Consumer(
            client_config(self._kafka)
            | {
                "group.id": f"{prefix}headrace.follower",
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "fetch.queue.backoff.ms": 10,
                "fetch.wait.max.ms": self._kafka.fetch_wait_ms,
            }
        )
        try:
            self._assign(consumer)
            self.outage.end()
            look_at = time.monotonic() + _PARTITIONS_EVERY_S
            while not self._stop.is_set():
                self._step(consumer)
                if time.monotonic() >= look_at:
                    if self._changed():
                        return
                    away = self.outage.seconds() > 0
                    look_at = time.monotonic() + (_AWAY_EVERY_S if away else _PARTITIONS_EVERY_S)
        finally:
            consumer.close()

    def _assign(self, consumer: Consumer) -> None:
        prefix = self._kafka.topic_prefix
        found = describe(admin(self._kafka), [prefix + t for t in self._topics], _TIMEOUT_S)
        at: dict[str, tuple[str, int]] = {}
        ends: dict[str, int] = {}
        parts = []
        for topic in self._topics:
            topic_id, count = found[prefix + topic]
            for p in range(count):
                source, part = f"{topic}:{p}", TopicPartition(prefix + topic, p)
                low, ends[source] = consumer.get_watermark_offsets(part, timeout=_TIMEOUT_S)
                at[source] = topic_id, self._judge(source, topic_id, low, ends[source])
                parts.append(TopicPartition(prefix + topic, p, at[source][1]))
        consumer.assign(parts)
        self._at, self._ends = at, ends  # anew: a topic that was made again may have fewer
        self._look_if_caught_up()

    def _judge(self, source: str, topic_id: str, low: int, high: int) -> int:
        """Where to begin: where we were, if that still means something."""
        known = self._at.get(source) or self._start.get(source)
        if known is None or known[0] != topic_id or known[1] > high:
            return low
        if known[1] < low:
            MESSAGES_LOST.labels(source.rpartition(":")[0]).inc(low - known[1])
            _log.error("%s: %d messages were deleted before they were read", source, low - known[1])
        return max(known[1], low)

    def _step(self, consumer: Consumer) -> None:
        got = self._batch(consumer)
        by_topic: dict[str, list[Message]] = {}
        last: dict[tuple[str, int], int] = {}
        prefix = len(self._kafka.topic_prefix)
        for m in got:
            topic = (m.topic() or "")[prefix:]
            by_topic.setdefault(topic, []).append(m)
            last[topic, m.partition() or 0] = m.offset() or 0
        for topic, messages in by_topic.items():
            self._apply_all(topic, messages)
        for (topic, partition), offset in last.items():
            self._moved(f"{topic}:{partition}", offset + 1)
        if not self.caught_up.is_set():
            if not got:  # a compacted topic's last offsets may hold no message: ask where we stand
                for tp in consumer.position(consumer.assignment()):
                    if tp.offset >= 0:
                        self._moved(f"{tp.topic[prefix:]}:{tp.partition}", tp.offset)
            self._look_if_caught_up()

    def _batch(self, consumer: Consumer) -> list[Message]:
        """What has come, after at most 0.1 s that nothing did."""
        got = consumer.consume(1, 0.1)
        if got:
            live = self.caught_up.is_set()
            if live and (gather_s := self._gather_s()):
                self._stop.wait(gather_s)
            got += consumer.consume((_LIVE_BATCH if live else _BATCH) - 1, 0.0)
        usable = [m for m in got if m.error() is None]
        if usable:
            self.outage.end()
        return usable

    def _moved(self, source: str, offset: int) -> None:
        self._at[source] = (self._at[source][0], offset)

    def _apply_all(self, topic: str, messages: Sequence[Message]) -> None:
        """Apply; a message that raises is said and passed over, the others count."""
        try:
            self._apply(topic, messages)
            return
        except Exception:
            _log.exception("%s: applying %d messages one by one", topic, len(messages))
        for m in messages:  # states: those applied before the bad one are applied again
            try:
                self._apply(topic, [m])
            except Exception:
                UNUSABLE.labels(topic).inc()
                _log.exception("%s: passed over %s@%s", topic, m.partition(), m.offset())

    def _look_if_caught_up(self) -> None:
        if all(self._at[source][1] >= end for source, end in self._ends.items()):
            self.caught_up.set()

    def _changed(self) -> bool:
        """Whether a topic has new partitions or was recreated; an absent broker says no."""
        prefix = self._kafka.topic_prefix
        try:
            found = describe(admin(self._kafka), [prefix + t for t in self._topics], 2.0)
        except UnavailableError as e:
            self.outage.begin()
            _log.warning("follower: %s", e)
            return False
        self.outage.end()
        now = {f"{t}:{p}" for t in self._topics for p in range(found[prefix + t][1])}
        ids = {found[prefix + t][0] for t in self._topics}
        return now != set(self._at) or any(i not in ids for i, _ in self._at.values())
