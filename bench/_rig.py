"""The serving process without its servers: real catalog, index, statistics and viewers, in memory.

For profiles: nothing else runs, so what is timed is the funnel and the HTTP layer around it.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from api.dependencies import Dependencies
from bench._catalog import BigCatalog, video_id
from bench._load import COUNTRIES, Viewers, events
from contracts.engine_records import Neighbours, VideoStats
from contracts.ids import hash64, pack_country
from contracts.settings import ApiSettings, IndexSettings, Settings
from contracts.stats_rows import of_records
from contracts.user_record import user_dtype
from index_updater import snapshot
from index_updater.live_index import LiveIndex
from operators.blobs import from_blobs, to_blobs
from operators.catalog import Catalog
from operators.derive import derive
from operators.event_columns import RawMessages, decode_events
from operators.offsets import slot_key
from operators.stats_board import StatsBoard
from operators.user_fold import UserFold
from streams.positions import Position

_SOURCES = 8
_NEAR = 24


def now_ms() -> int:
    """The wall clock."""
    return time.time_ns() // 1_000_000


@dataclass
class Kept:
    """User states as bytes in a dict: what a read costs beyond the way to Redis is paid here too."""

    dtype: np.dtype[Any]
    blobs: dict[str, bytes] = field(default_factory=dict)

    async def get(self, user_id: str) -> Any | None:
        """The record, None when there is none."""
        blob = self.blobs.get(user_id)
        return None if blob is None else from_blobs([blob], self.dtype)[0]

    async def wait_for(self, user_id: str, position: Position, deadline_s: float) -> bool:
        """All is folded."""
        return True


class Dropped:
    """A log that takes everything and keeps nothing."""

    def produce(
        self,
        topic: str,
        key: bytes,
        value: bytes | None,
        on_ack: Callable[[Any, Any], None] | None = None,
    ) -> None:
        """Nothing."""

    async def send(
        self, topic: str, key: bytes, value: bytes | None, timeout_s: float
    ) -> tuple[int, int]:
        """At once."""
        return 0, 0


def rig(big: BigCatalog, viewers: int, past: int = 60) -> Dependencies:
    """All that one serving process holds, with `viewers` who each have about `past` events."""
    settings = Settings(api=ApiSettings(token_secret="0" * 64))
    found = snapshot.load(big.snapshot, IndexSettings())
    if found is None:
        raise FileNotFoundError(f"no snapshot in {big.snapshot}")
    people = Viewers(big.world, viewers)
    users = Kept(user_dtype(big.bundle.users.hidden, big.bundle.users.dim))
    _fold(users, people, found.catalog, big, past, settings)
    board = _board(people, found.catalog, settings)
    return Dependencies(
        settings=settings,
        bundle=big.bundle,
        catalog=found.catalog,
        index=found.index,
        board=board,
        users=users,
        publisher=Dropped(),
        ready=lambda: (True, "ready"),
        clock_ms=now_ms,
    )


def _fold(
    users: Kept, people: Viewers, catalog: Catalog, big: BigCatalog, past: int, settings: Settings
) -> None:
    made = events(people, 9)
    drawn = [next(made) for _ in range(people.n * past)]
    source = slot_key(0, "events", 0)
    raw = RawMessages(
        [value for _, value in drawn],
        [key for key, _ in drawn],
        np.full(len(drawn), source),
        np.arange(len(drawn)),
        np.full(len(drawn), now_ms()),
    )
    columns, bad = decode_events(raw, settings.user.future_tolerance_ms)
    assert not bad
    records = from_blobs([None] * len(columns.users), users.dtype)
    derive(records, big.bundle, catalog)
    UserFold(big.bundle, catalog, settings.user)(records, columns, {source: 0}, now_ms())
    users.blobs = dict(zip(columns.users, to_blobs(records), strict=True))


def _board(people: Viewers, catalog: Catalog, settings: Settings) -> StatsBoard:
    """Statistics of what these viewers watch, as eight partitions would publish them."""
    board, rng = StatsBoard(settings.stats), np.random.default_rng(5)
    drawn = [video for _, video, *_ in people.draw(rng, 60 * people.n)]
    videos, counts = np.unique(drawn, return_counts=True)
    near = rng.choice(videos, (len(videos), _NEAR))
    ids = {int(v): hash64(video_id(int(v))) for v in videos}
    for source in range(_SOURCES):
        records = []
        for row, (video, n) in enumerate(zip(videos.tolist(), counts.tolist(), strict=True)):
            mine = Neighbours(
                tuple(ids[int(v)] for v in near[row]), tuple(rng.random(_NEAR).tolist())
            )
            trend = float(n) / _SOURCES
            shown = (8.0 * n, 1.0 * n, 0.4 * n, 0.1 * n, 0.2 * n)
            country = {pack_country(COUNTRIES[row % 4]): trend}
            records.append(
                VideoStats(ids[video], f"events:{source}", now_ms(), shown, trend, country, mine)
            )
        board.apply(of_records(records))
    board.refresh(now_ms(), lambda found: catalog.columns(catalog.rows_of(found))["category"])
    return board


def drained(index: LiveIndex) -> None:
    """Nothing is left to do for the index."""
    while index.maintain():
        pass
