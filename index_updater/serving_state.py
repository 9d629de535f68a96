"""What one serving process holds: catalog, live index, statistics; kept current by following topics.

Boot is snapshot plus replay. A snapshot's offsets are taken before what it holds: whatever came in
between is replayed, and replaying a state twice changes nothing.
"""

import fcntl
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
from confluent_kafka import Message

from contracts.batch import Ids, Mask
from contracts.errors import HeadraceError
from contracts.metrics import (
    AWAY,
    INDEX_REBUILDS,
    INDEX_RECALL,
    INDEX_TAIL,
    INDEX_TOMBSTONES,
    INDEX_VIDEOS,
    SNAPSHOTS,
    VIDEO_TO_INDEX,
)
from contracts.models import Bundle
from contracts.settings import Settings
from index_updater import snapshot
from index_updater.live_index import LiveIndex
from operators.catalog import Catalog
from operators.stats_board import StatsBoard
from streams.catalog_follower import apply_vectors
from streams.follower import Followed, TopicFollower
from streams.stats_follower import apply_stats

_log = logging.getLogger(__name__)
# Nobody waits for a count, and one of few costs ten times one of hundreds.
_GATHER_S: Final = 0.2
_GATHER_VIDEOS_S: Final = 0.02  # of a freshness of 200 ms; one by one they cost three times as much
_REFRESH_S: Final = 2.0
_PROBE_K: Final = 500
_DAY_MS: Final = 86_400_000


class ServingState:
    """Catalog, index and statistics of one replica.

    Attributes:
        catalog, index, board: each written by one follower thread, read by any.
    """

    def __init__(self, settings: Settings, bundle: Bundle, clock_ms: Callable[[], int]) -> None:
        self._settings, self._bundle, self._clock_ms = settings, bundle, clock_ms
        self._folder = settings.index.snapshot_dir
        booted = self._boot()
        self.catalog = booted.catalog if booted else Catalog(bundle.items.dim)
        self.index = booted.index if booted else LiveIndex(bundle.items.dim, settings.index)
        self.board = StatsBoard(settings.stats)
        self._videos = TopicFollower(
            settings.kafka,
            ("video-vectors",),
            self._apply_vectors,
            _followed(booted.meta) if booted else None,
            gather_s=_GATHER_VIDEOS_S,
        )
        self._counts = TopicFollower(
            settings.kafka, ("video-stats",), self._apply_stats, gather_s=_GATHER_S
        )
        self._followers = (self._videos, self._counts)
        self._stop = threading.Event()
        self._chores = threading.Thread(target=self._look_after, name="index-chores", daemon=True)
        self._leader: IO[str] | None = None
        self._rebuilds = 0
        self._saving: threading.Thread | None = None
        for outcome in ("taken", "failed"):  # a counter that begins at 1 has not risen
            SNAPSHOTS.labels(outcome)

    def ready(self) -> tuple[bool, str]:
        """Whether all that was there at the start is applied, and a sentence about it."""
        if not all(follower.alive for follower in self._followers):
            return False, "the follower of the video topics has ended; restart this process"
        if all(follower.caught_up.is_set() for follower in self._followers):
            return True, f"{len(self.index)} videos"
        if away_s := self._away_s():
            return False, f"{len(self.index)} videos so far; Kafka is away since {away_s:.0f} s"
        return False, f"catching up: {len(self.index)} videos so far"

    def start(self) -> None:
        """Follow, and look after the index, in the background."""
        self.index.start()
        for follower in self._followers:
            follower.start()
        self._chores.start()

    def catch_up(self, timeout_s: float) -> bool:
        """Wait until all that was there at the start is applied; whether it is."""
        until = time.monotonic() + timeout_s
        return all(f.caught_up.wait(max(until - time.monotonic(), 0)) for f in self._followers)

    def close(self) -> None:
        """Stop all threads."""
        self._stop.set()
        for follower in self._followers:
            follower.close()
        if self._chores.is_alive():
            self._chores.join(10.0)
        self.index.close()

    def _boot(self) -> snapshot.Snapshot | None:
        if self._folder is None:
            return None
        try:
            found = snapshot.load(self._folder, self._settings.index)
        except HeadraceError as e:
            SNAPSHOTS.labels("refused").inc()
            _log.error("no boot from a snapshot: %s; replaying the topics instead", e)
            return None
        if found is None:
            return None
        age_days = (self._clock_ms() - int(found.meta["taken_ms"])) / _DAY_MS
        if found.meta["bundle"] != self._bundle.id or (
            age_days > self._settings.index.snapshot_max_age_days
        ):
            _log.warning("the snapshot is of another bundle or too old: replaying the topics")
            return None
        return found

    def _away_s(self) -> float:
        return max(follower.outage.seconds() for follower in self._followers)

    def _apply_stats(self, _: str, messages: Sequence[Message]) -> None:
        apply_stats(self.board, messages)

    def _apply_vectors(self, _: str, messages: Sequence[Message]) -> None:
        change = apply_vectors(self.catalog, self._bundle.id, messages)
        if len(change.removed):
            self.index.remove(change.removed)
        if len(change.ids):
            self.index.upsert(change.ids, change.vectors)
        if self._videos.caught_up.is_set():
            now_ms = self._clock_ms()
            for produced_ms in change.produced_ms.tolist():
                VIDEO_TO_INDEX.observe(max(now_ms - produced_ms, 0) / 1000)
        INDEX_VIDEOS.set(len(self.index))

    def _look_after(self) -> None:
        """Trending lists, recall probe, gauges and snapshots; nothing of it may end the thread."""
        probed = saved = time.monotonic()
        while not self._stop.wait(_REFRESH_S):
            now = time.monotonic()
            try:
                self.board.refresh(self._clock_ms(), self._categories, self._live)
                self._gauges()
                if now - probed >= self._settings.index.recall_every_s:
                    probed = now
                    self._probe()
                if now - saved >= self._settings.index.snapshot_every_s:
                    saved = now
                    self._save_beside()
            except Exception:
                _log.exception("index chores")

    def _categories(self, ids: Ids) -> np.ndarray[Any, np.dtype[np.uint32]]:
        rows = self.catalog.rows_of(ids)
        categories: np.ndarray[Any, np.dtype[np.uint32]] = self.catalog.columns(rows)["category"]
        return np.where(rows >= 0, categories, np.uint32(0))

    def _live(self, ids: Ids) -> Mask:
        return self.catalog.rows_of(ids) >= 0

    def _gauges(self) -> None:
        AWAY.labels("follower").set(self._away_s())
        INDEX_VIDEOS.set(len(self.index))
        INDEX_TAIL.set(self.index.tail_rows)
        INDEX_TOMBSTONES.set(self.index.tombstone_ratio)
        INDEX_REBUILDS.inc(self.index.rebuilds - self._rebuilds)
        self._rebuilds = self.index.rebuilds

    def _probe(self) -> None:
        if len(self.index):
            INDEX_RECALL.set(self.index.probe(self._clock_ms(), _PROBE_K))

    def _save_beside(self) -> None:
        """Snapshot in a thread of its own: trending and the probe do not wait for a disk."""
        if self._saving is None or not self._saving.is_alive():
            self._saving = threading.Thread(target=self.save, name="snapshot", daemon=True)
            self._saving.start()

    def save(self) -> bool:
        """Snapshot now, if this process leads those that share the folder; whether it did."""
        if self._folder is None or not self._videos.caught_up.is_set():
            return False
        meta = {
            "bundle": self._bundle.id,
            "taken_ms": self._clock_ms(),
            "offsets": {s: list(at) for s, at in self._videos.followed.offsets.items()},
        }
        try:
            if not self._lead():
                return False
            snapshot.save(self._folder, self.index, self.catalog, meta)
        except OSError as e:  # a full disk must not cost more than the snapshot
            SNAPSHOTS.labels("failed").inc()
            _log.error("no snapshot: %s", e)
            return False
        SNAPSHOTS.labels("taken").inc()
        return True

    def _lead(self) -> bool:
        """One of the worker processes that share the folder writes the snapshots."""
        if self._leader is None and self._folder is not None:
            self._folder.mkdir(parents=True, exist_ok=True)
            lock = Path(self._folder / "leader.lock").open("w")
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                lock.close()
                return False
            self._leader = lock
        return self._leader is not None


def _followed(meta: Mapping[str, Any]) -> Followed:
    """Only the vectors' offsets: the statistics are not in the snapshot and are read from the start."""
    offsets = {
        source: (str(topic_id), int(offset))
        for source, (topic_id, offset) in meta["offsets"].items()
        if source.startswith("video-vectors:")
    }
    return Followed(offsets)
