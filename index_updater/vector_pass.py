"""All videos once more, when a bundle comes into the lineup: beside the live work, a slice at a time.

What is read is the part of `videos` before the flow's own position; what comes later gets the vectors
of every bundle at once. A video that came later meanwhile is passed over: its older version must not
be the last word on `video-vectors`. A pass that is cut off begins anew, since its output is states.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

import numpy as np
import redis
from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from contracts.errors import FencedError, UnavailableError
from contracts.ids import hash64
from contracts.models import Bundle
from contracts.settings import KafkaSettings
from contracts.topics import VIDEOS
from index_updater.vector_flow import VectorWriter, VideoBatch, decode_videos
from operators.event_columns import RawMessages
from streams.batches import Batch, broker_ms
from streams.kafka import client_config
from streams.topics import admin, describe
from streams.vector_marks import VectorMarks

_log = logging.getLogger(__name__)
_SLICE: Final = 200  # videos: some milliseconds between two batches
_LONGEST_S: Final = 0.25  # of credit: an idle flow does not save up for a burst
_TIMEOUT_S: Final = 10.0
_REST_S: Final = 1.0  # after Kafka or Redis was away


class VectorPass:
    """Belongs to the thread of the vector flow, and is given a moment after each batch."""

    def __init__(
        self,
        kafka: KafkaSettings,
        writer: VectorWriter,
        wanted: Callable[[], Sequence[Bundle]],
        marks: VectorMarks,
        per_s: int,
        tolerance_ms: int,
    ) -> None:
        self._kafka, self._writer, self._wanted, self._marks = kafka, writer, wanted, marks
        self._per_s, self._tolerance_ms = per_s, tolerance_ms
        self._for: tuple[tuple[str, ...], tuple[str, ...]] | None = None  # bundles, sources
        self._topic = ("", 0)  # its id, and how many partitions it has
        self._consumer: Consumer | None = None
        self._at: dict[int, int] = {}  # partition -> next offset, of those that are under way
        self._ends: dict[int, int] = {}
        self._live: set[int] = set()  # videos that were published, or removed, meanwhile
        self._due = self._rest_until = 0.0
        self.repeated = 0

    def heard(self, batch: VideoBatch) -> None:
        """A batch of the live work was published."""
        if self._at:
            self._live.update(hash64(video.video_id) for _, video in batch.published)
            self._live.update(hash64(key.decode()) for _, key in batch.removed)

    def step(self, now_s: float) -> None:
        """Do a slice of what is due. Nothing raises: the live work does not depend on it."""
        if now_s < self._rest_until:
            return
        try:
            bundles, sources = tuple(self._wanted()), self._writer.reader.sources
            if (tuple(b.id for b in bundles), sources) != self._for:
                self._begin(bundles, sources)
            if self._at:
                self._slice(now_s)
        except FencedError as e:  # somebody else may work here: look afresh
            _log.warning("vectors for %s: %s; beginning anew", self._for, e)
            self._for, self._rest_until = None, now_s + _REST_S
        except (UnavailableError, KafkaException, redis.RedisError) as e:
            _log.warning("vectors for %s wait: %s", self._for, e)
            self._rest_until = now_s + _REST_S

    def close(self) -> None:
        """Stop reading."""
        if self._consumer is not None:
            self._consumer.close()
            self._consumer = None

    def _begin(self, bundles: Sequence[Bundle], sources: tuple[str, ...]) -> None:
        """Find the partitions of which a bundle has no mark; read those from their beginning.

        Marks go before the writer stops making those vectors: a mark is never wrong.
        """
        self.close()
        self._at, self._ends, self._live, self.repeated = {}, {}, set(), 0
        name, ids = self._kafka.topic_prefix + VIDEOS.name, tuple(b.id for b in bundles)
        self._topic = describe(admin(self._kafka), [name], _TIMEOUT_S)[name]
        self._marks.keep_only(ids, sources)
        self._writer.bundles = bundles
        consumer = Consumer(
            client_config(self._kafka)
            | {
                "group.id": f"{self._kafka.topic_prefix}headrace.vector-pass",
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "queued.max.messages.kbytes": 8192,
            }
        )
        at, ends = {}, {}
        for source, (stored, place) in self._writer.reader.places.items():
            if all(self._marks.has(b, source, self._topic[0]) for b in ids):
                continue
            p = int(source.rpartition(":")[2])
            low, _ = consumer.get_watermark_offsets(TopicPartition(name, p), timeout=_TIMEOUT_S)
            at[p], ends[p] = low, place.offset if stored else low
        consumer.assign([TopicPartition(name, p, offset) for p, offset in at.items()])
        self._consumer, self._at, self._ends = consumer, at, ends
        if at:
            _log.info("making vectors of %d partitions for %s", len(at), ", ".join(ids))
        self._for = ids, sources
        self._finish()

    def _slice(self, now_s: float) -> None:
        self._due = max(self._due, now_s - _LONGEST_S)
        most = min(int((now_s - self._due) * self._per_s), _SLICE)
        if most <= 0 or self._consumer is None:
            return
        got = [m for m in self._consumer.consume(most, 0.0) if m.error() is None]
        if not got:
            self._pass_gaps()
            return
        self._due += len(got) / self._per_s
        ours = [m for m in got if (m.offset() or 0) < self._ends.get(m.partition() or 0, 0)]
        if ours:
            self._repeat(ours)
        for m in got:
            p = m.partition() or 0
            if p in self._at:
                self._at[p] = (m.offset() or 0) + 1
        self.repeated += len(ours)
        self._finish()

    def _repeat(self, messages: Sequence[Message]) -> None:
        batch = decode_videos(self._batch(messages), self._tolerance_ms)
        published = [p for p in batch.published if hash64(p[1].video_id) not in self._live]
        removed = [r for r in batch.removed if hash64(r[1].decode()) not in self._live]
        try:
            self._writer.repeat(replace(batch, published=published, removed=removed))
        except (FencedError, UnavailableError, redis.RedisError):
            self._for = None  # what was read is gone from the consumer: begin anew
            raise

    def _batch(self, messages: Sequence[Message]) -> Batch:
        n = len(messages)
        raw = RawMessages(
            [m.value() for m in messages],
            [m.key() for m in messages],
            np.fromiter((m.partition() for m in messages), np.int64, n),
            np.fromiter((m.offset() for m in messages), np.int64, n),
            broker_ms(messages),
        )
        places = self._writer.reader.places
        sources = {f"{VIDEOS.name}:{m.partition()}" for m in messages}
        return Batch({VIDEOS.name: raw}, {s: places[s][0] for s in sources if s in places}, {})

    def _pass_gaps(self) -> None:
        """Compaction leaves offsets without a message: ask the consumer where it stands."""
        assert self._consumer is not None
        for tp in self._consumer.position(self._consumer.assignment()):
            if tp.offset >= 0 and tp.partition in self._at:
                self._at[tp.partition] = max(self._at[tp.partition], tp.offset)
        self._finish()

    def _finish(self) -> None:
        """Mark the partitions that are through."""
        for p in [p for p, at in self._at.items() if at >= self._ends[p]]:
            for bundle in self._writer.bundles:
                self._marks.set(bundle.id, f"{VIDEOS.name}:{p}", *self._topic)
            del self._at[p]
        if not self._at and self._consumer is not None:
            self.close()
            self._live = set()
