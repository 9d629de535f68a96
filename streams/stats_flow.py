"""The statistics flow: events and impressions -> partial states per source partition.

Every few seconds (a setting) each partition's changed rows are published as states and then stored, as
one with the offset that they contain (`streams.stats_store`). What was folded since is folded again after a
crash; what was published again is the same state. Malformed messages are the user flow's to bury.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import numpy as np
import redis
from confluent_kafka import KafkaError, Message

from contracts.engine_records import decode_impression
from contracts.errors import BadMessageError, FencedError, UnavailableError
from contracts.ids import hash64, pack_country
from contracts.metrics import BATCH_SECONDS
from contracts.settings import Settings
from contracts.stats_rows import messages
from contracts.topics import VIDEO_STATS
from operators.event_columns import RawMessages, decode_events
from operators.stat_columns import stat_events
from operators.video_stats import Changes, PartitionStats, StatEvents
from streams.batches import Batch
from streams.kafka import Publisher
from streams.keys import Keys
from streams.positions import Stored
from streams.reader import PartitionReader
from streams.stats_store import StatsStore

FLOW: Final = "video-stats"
TOPICS: Final = ("events", "impressions")
_FLUSH_S: Final = 30.0
_TURNS: Final = 8  # into which one round of flushes is cut; there are about five batches a second


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """Served videos of one source partition, one row a video."""

    video: np.ndarray[tuple[int], np.dtype[np.int64]]
    country: np.ndarray[tuple[int], np.dtype[np.uint16]]
    ts_ms: np.ndarray[tuple[int], np.dtype[np.int64]]


@dataclass(frozen=True, slots=True, eq=False)
class StatsBatch:
    """One decoded batch, cut by source partition."""

    source: Batch
    events: dict[str, StatEvents]
    shown: dict[str, Shown]


class StatsWriter:
    """Folds in memory and flushes now and then; belongs to the thread of the flow."""

    def __init__(
        self,
        client: redis.Redis,
        keys: Keys,
        settings: Settings,
        publisher: Publisher,
        reader: PartitionReader,
    ) -> None:
        self._store, self._settings = StatsStore(client, keys), settings
        self._publisher, self._reader = publisher, reader
        self._state: dict[str, PartitionStats] = {}
        self._before: dict[str, str] = {}
        self._after: dict[str, Stored] = {}
        self._folded: Batch | None = None
        self._flushed: dict[str, float] = {}
        reader.on_open = self._forget  # memory is ahead of the stored positions: fold it again

    def decode(self, batch: Batch) -> StatsBatch:
        """Decode; nothing raises."""
        events: dict[str, StatEvents] = {}
        shown: dict[str, Shown] = {}
        if raw := batch.messages.get("events"):
            columns, _ = decode_events(raw, self._settings.user.future_tolerance_ms)
            for source, rows in _by_partition("events", columns.rows["slot_key"]).items():
                events[source] = stat_events(columns, rows)
        if raw := batch.messages.get("impressions"):
            for source, rows in _by_partition("impressions", raw.slot_keys).items():
                shown[source] = _shown(raw, rows)
        return StatsBatch(batch, events, shown)

    def write(self, batch: StatsBatch) -> None:
        """Fold one batch; flush if it is time.

        Raises:
            FencedError: a stored position moved; memory is dropped, read again.
            UnavailableError, redis.RedisError: try again.
        """
        if self._folded is not batch.source:  # a retry after a failed flush must not fold again
            self._load(batch.source)
            with BATCH_SECONDS.labels(FLOW, "fold").time():
                self._fold(batch)
            self._folded = batch.source
        self.flush_if_due()

    def flush_if_due(self) -> None:
        """Flush what has waited for the interval; called when nothing comes, too.

        Sources take turns, those that waited longest first: else broker, Redis and all that follow
        `video-stats` would get everything at once, and nothing in between.

        Raises:
            FencedError: a stored position moved; memory is dropped.
            UnavailableError, redis.RedisError: try again; nothing is lost.
        """
        until = time.monotonic() - self._settings.stream.flush_every_ms / 1000
        due = [s for s in self._after if self._flushed.get(s, until) <= until]
        due.sort(key=lambda source: self._flushed.get(source, 0.0))
        for source in due[: -(-len(self._state) // _TURNS)]:
            with BATCH_SECONDS.labels(FLOW, "write").time():
                self._flush_one(source)
            self._flushed[source] = time.monotonic()

    def _load(self, batch: Batch) -> None:
        for source, before in batch.before.items():
            if source in self._state:
                continue
            with self._memory_dropped_if_fenced():
                fields = self._store.load(source, before)
            self._state[source] = PartitionStats.restore(source, self._settings.stats, fields)

    def _fold(self, batch: StatsBatch) -> None:
        for source, events in batch.events.items():
            self._state[source].fold_events(events)
        for source, shown in batch.shown.items():
            self._state[source].fold_impressions(shown.video, shown.country, shown.ts_ms)
        for source, before in batch.source.before.items():
            self._before.setdefault(source, before)
        self._after.update(batch.source.after)
        self._reader.advance(batch.source.after)

    def _flush_one(self, source: str) -> None:
        state, after = self._state[source], self._after[source]
        with self._memory_dropped_if_fenced():
            self._store.check(source, self._before[source])
        changes = state.changed()
        self._publish(source, changes, after.version)
        with self._memory_dropped_if_fenced():
            self._store.save(source, self._before[source], after, changes.set, changes.delete)
        state.saved()
        self._reader.stored({source: after})
        del self._before[source], self._after[source]

    def _publish(self, source: str, changes: Changes, version: int) -> None:
        failed: list[str] = []

        def acked(error: KafkaError | None, _: Message) -> None:
            if error is not None:
                failed.append(str(error))

        states = changes.states
        states.rows["version"] = version
        for video, value in zip(states.rows["video"].tolist(), messages(states), strict=True):
            self._publisher.produce(VIDEO_STATS.name, f"{video}|{source}".encode(), value, acked)
        for video in changes.evicted:
            self._publisher.produce(VIDEO_STATS.name, f"{video}|{source}".encode(), None, acked)
        self._publisher.flush(_FLUSH_S)
        if failed:
            raise UnavailableError(f"statistics were refused: {failed[0]}")

    @contextmanager
    def _memory_dropped_if_fenced(self) -> Iterator[None]:
        try:
            yield
        except FencedError:
            self._forget()
            raise

    def _forget(self) -> None:
        self._state.clear()
        self._before.clear()
        self._after.clear()


def _by_partition(
    topic: str, slot_keys: np.ndarray[tuple[int], np.dtype[np.int64]]
) -> dict[str, np.ndarray[tuple[int], np.dtype[np.intp]]]:
    return {
        f"{topic}:{int(key) & 0xFF_FFFF}": np.flatnonzero(slot_keys == key)
        for key in np.unique(slot_keys)
    }


def _shown(raw: RawMessages, rows: np.ndarray[tuple[int], np.dtype[np.intp]]) -> Shown:
    videos: list[int] = []
    countries: list[int] = []
    times: list[int] = []
    for i in rows.tolist():
        try:
            page = decode_impression(raw.values[i] or b"")
        except BadMessageError:
            continue
        videos += [hash64(v) for v in page.video_ids]
        countries += [pack_country(page.country)] * len(page.video_ids)
        times += [int(raw.broker_ms[i])] * len(page.video_ids)
    return Shown(
        np.array(videos, np.int64), np.array(countries, np.uint16), np.array(times, np.int64)
    )
