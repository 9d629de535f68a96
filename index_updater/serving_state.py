"""What one serving process holds besides the videos: statistics, and the chores of both.

The videos come in generations, one for each bundle of the lineup (`index_updater.followed_videos`);
chores are done for the one that answers.
"""

import fcntl
import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Final

from contracts.metrics import AWAY, SNAPSHOTS
from contracts.settings import Settings
from contracts.topics import VIDEO_STATS
from index_updater.followed_videos import FollowedVideos
from operators.stats_board import StatsBoard
from streams.follower import TopicFollower
from streams.stats_follower import apply_stats

_log = logging.getLogger(__name__)
# Nobody waits for a count, and a batch of few costs ten times one of hundreds.
_GATHER_S: Final = 0.2
_REFRESH_S: Final = 2.0
_PROBE_RESTS: Final = (
    100.0  # times what a probe took: a look at a million videos is most of a second
)


class ServingState:
    """Statistics of one replica, and what keeps them and its videos in order.

    Attributes:
        board: written by one follower thread, read by any.
        videos: gives the generation that answers.
    """

    def __init__(
        self,
        settings: Settings,
        clock_ms: Callable[[], int],
        videos: Callable[[], FollowedVideos],
    ) -> None:
        self._settings, self._clock_ms, self.videos = settings, clock_ms, videos
        self._folder = settings.index.snapshot_dir
        self.board = StatsBoard(settings.stats)
        self._counts = TopicFollower(
            settings.kafka,
            (VIDEO_STATS.name,),
            lambda _, messages: apply_stats(self.board, messages),
            gather_s=lambda: _GATHER_S,
        )
        self._stop = threading.Event()
        self._chores = threading.Thread(target=self._look_after, name="index-chores", daemon=True)
        self._leader: IO[str] | None = None
        self._saving: threading.Thread | None = None
        for outcome in ("taken", "failed"):  # a counter that begins at 1 has not risen
            SNAPSHOTS.labels(outcome)

    def ready(self) -> tuple[bool, str]:
        """Whether all that was there at the start is applied, and a sentence about it."""
        videos = self.videos()
        followers, n = (videos.follower, self._counts), len(videos.index)
        if not all(f.alive for f in followers):
            return False, "a follower of the video topics has ended; restart this process"
        if all(f.caught_up.is_set() for f in followers):
            return True, f"{n} videos"
        if away_s := self._away_s():
            return False, f"{n} videos so far; Kafka is away since {away_s:.0f} s"
        return False, f"catching up: {n} videos so far"

    def _away_s(self) -> float:
        return max(f.outage.seconds() for f in (self.videos().follower, self._counts))

    def start(self) -> None:
        """Follow the statistics and do the chores, in the background."""
        self._counts.start()
        self._chores.start()

    def catch_up(self, timeout_s: float) -> bool:
        """Wait until all that was there at the start is applied; whether it is."""
        until_s = time.monotonic() + timeout_s
        return self.videos().follower.caught_up.wait(timeout_s) and self._counts.caught_up.wait(
            max(until_s - time.monotonic(), 0.0)
        )

    def close(self) -> None:
        """Stop all threads."""
        self._stop.set()
        self._counts.close()
        if self._chores.is_alive():
            self._chores.join(10.0)

    def _look_after(self) -> None:
        """Trending lists, recall probe, gauges and snapshots; nothing of it may end the thread."""
        saved = time.monotonic()
        probe_at = saved + self._settings.index.recall_every_s
        while not self._stop.wait(_REFRESH_S):
            now, videos = time.monotonic(), self.videos()
            try:
                self.board.refresh(self._clock_ms(), videos.categories, videos.known)
                AWAY.labels("follower").set(self._away_s())
                videos.measure()
                if now >= probe_at:
                    began_s = time.thread_time()
                    videos.probe()
                    rest_s = _PROBE_RESTS * (time.thread_time() - began_s)
                    probe_at = now + max(self._settings.index.recall_every_s, rest_s)
                if now - saved >= self._settings.index.snapshot_every_s:
                    saved = now
                    self._save_beside()
            except Exception:
                _log.exception("index chores")

    def _save_beside(self) -> None:
        """Snapshot in a thread of its own: trending and the probe do not wait for a disk."""
        if self._saving is None or not self._saving.is_alive():
            self._saving = threading.Thread(target=self.save, name="snapshot", daemon=True)
            self._saving.start()

    def save(self) -> bool:
        """Snapshot now, if this process leads those that share the folder; whether it did."""
        videos = self.videos()
        if self._folder is None or not videos.follower.caught_up.is_set():
            return False
        try:
            if not self._lead():
                return False
            videos.save(self._folder)
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
