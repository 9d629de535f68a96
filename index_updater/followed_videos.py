"""The videos as one bundle sees them, in one serving process: catalog and live index, kept current.

Boot is snapshot plus replay. A snapshot's offsets are taken before what it holds: whatever came in
between is replayed, and replaying a state twice changes nothing.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from confluent_kafka import Message

from contracts.batch import Ids, Mask
from contracts.errors import HeadraceError
from contracts.metrics import (
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
from contracts.topics import VIDEO_VECTORS
from contracts.units import DAY_MS
from index_updater import snapshot
from index_updater.generation import capacity_for
from index_updater.live_index import LiveIndex
from operators.catalog import Catalog
from streams.catalog_follower import apply_vectors
from streams.follower import Followed, TopicFollower
from streams.pacing import paced

_log = logging.getLogger(__name__)
_PROBE_K: Final = 500
_GATHER_S: Final = 0.02  # of a freshness of 200 ms; one by one they cost three times as much
_BESIDE_S: Final = 0.1  # what nobody is answered from yet is not that fresh: two thirds of the work


class FollowedVideos:
    """Catalog and index of one bundle.

    Attributes:
        catalog, index: written by one follower thread, read by any.
        follower: of `video-vectors`.
        live: this is the bundle that answers; only its freshness and size are measured, and it is
            followed without rest.
    """

    def __init__(
        self,
        settings: Settings,
        bundle: Bundle,
        clock_ms: Callable[[], int],
        beside: "FollowedVideos | None" = None,
    ) -> None:
        """Boot, from a snapshot if there is one of this bundle; nothing is followed yet.

        Args:
            beside: the generation that answers, if there is one: of about so many videos.
        """
        live, expected = beside is None, len(beside.catalog) if beside else 0
        self.bundle, self.live, self._rebuilds = bundle, live, 0
        self._settings, self._clock_ms = settings, clock_ms
        booted = self._boot()
        dim, room = bundle.items.dim, capacity_for(expected)
        self.catalog: Catalog = booted.catalog if booted else Catalog(dim, max(1024, 2 * expected))
        self.index: LiveIndex = (
            booted.index if booted else LiveIndex(dim, settings.index, max(10_000, room))
        )
        if beside is not None:
            self.index.fill_beside()
        self.follower = TopicFollower(
            settings.kafka,
            (VIDEO_VECTORS.name,),
            paced(self._apply, lambda: self.live),
            _followed(booted.meta) if booted else None,
            gather_s=lambda: _GATHER_S if self.live else _BESIDE_S,
        )

    def start(self) -> None:
        """Follow, and look after the index, in the background."""
        self.index.start()
        self.follower.start()

    def close(self) -> None:
        """Stop all threads."""
        self.follower.close()
        self.index.close()

    def _boot(self) -> snapshot.Snapshot | None:
        folder = self._settings.index.snapshot_dir
        if folder is None:
            return None
        try:
            about = snapshot.meta(folder)
            if about is None or not self._fits(about):
                return None
            return snapshot.load(folder, self._settings.index)
        except HeadraceError as e:
            SNAPSHOTS.labels("refused").inc()
            _log.error("no boot from a snapshot: %s; replaying the topics instead", e)
            return None

    def _fits(self, about: Mapping[str, Any]) -> bool:
        age_days = (self._clock_ms() - int(about["taken_ms"])) / DAY_MS
        if about["bundle"] == self.bundle.id and (
            age_days <= self._settings.index.snapshot_max_age_days
        ):
            return True
        _log.warning("the snapshot is of another bundle or too old: replaying the topics")
        return False

    def _apply(self, _topic: str, messages: Sequence[Message]) -> None:
        change = apply_vectors(self.catalog, self.bundle.id, messages)
        if len(change.removed):
            self.index.remove(change.removed)
        if len(change.ids):
            self.index.upsert(change.ids, change.vectors)
        if not self.live:
            return
        if self.follower.caught_up.is_set():
            now_ms = self._clock_ms()
            for produced_ms in change.produced_ms.tolist():
                VIDEO_TO_INDEX.observe(max(now_ms - produced_ms, 0) / 1000)
        INDEX_VIDEOS.set(len(self.index))

    def take_over(self) -> None:
        """This will be the bundle that answers."""
        self.index.take_over()

    def categories(self, ids: Ids) -> np.ndarray[Any, np.dtype[np.uint32]]:
        """(n,) hash of each video's category, 0 for none."""
        rows = self.catalog.rows_of(ids)
        categories: np.ndarray[Any, np.dtype[np.uint32]] = self.catalog.columns(rows)["category"]
        return np.where(rows >= 0, categories, np.uint32(0))

    def known(self, ids: Ids) -> Mask:
        """(n,) whether a video is there."""
        return np.asarray(self.catalog.rows_of(ids) >= 0)

    def measure(self) -> None:
        """The gauges and counts of the index."""
        INDEX_REBUILDS.inc(self.index.rebuilds - self._rebuilds)
        self._rebuilds = self.index.rebuilds
        INDEX_VIDEOS.set(len(self.index))
        INDEX_TAIL.set(self.index.tail_rows)
        INDEX_TOMBSTONES.set(self.index.tombstone_ratio)

    def probe(self) -> None:
        """The live recall of the index."""
        if len(self.index):
            INDEX_RECALL.set(self.index.probe(self._clock_ms(), _PROBE_K))

    def save(self, folder: Path) -> None:
        """Snapshot now.

        Raises:
            OSError: it could not be written; the one before is still the current one.
        """
        meta = {
            "bundle": self.bundle.id,
            "taken_ms": self._clock_ms(),
            "offsets": {s: list(at) for s, at in self.follower.followed.offsets.items()},
        }
        snapshot.save(folder, self.index, self.catalog, meta)


def _followed(meta: Mapping[str, Any]) -> Followed:
    """Only the vectors' offsets: older snapshots list those of the statistics, too."""
    offsets = {
        source: (str(topic_id), int(offset))
        for source, (topic_id, offset) in meta["offsets"].items()
        if source.startswith(f"{VIDEO_VECTORS.name}:")
    }
    return Followed(offsets)
