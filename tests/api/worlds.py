"""A small world: real catalog, index, statistics and a bundle (day-0), filled with made-up videos."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from api.dependencies import Dependencies
from contracts.engine_records import Neighbours, VideoStats
from contracts.events import Event, encode_event
from contracts.ids import hash64
from contracts.models import Bundle
from contracts.profiles import Profile, encode_profile
from contracts.settings import ApiSettings, ModelSettings, Settings
from contracts.stats_rows import of_records
from contracts.videos import Video
from index_updater.live_index import LiveIndex
from model_runtime import bundles
from operators.catalog import Catalog
from operators.stats_board import StatsBoard
from tests.api.memory import MemoryLog, MemoryUsers
from tests.strategies import NOW_MS

BUNDLE: Bundle = bundles.load(ModelSettings())
HOUR_MS = 3_600_000
CATEGORIES = ("cooking", "chess", "cats", "travel")
SETTINGS = Settings(api=ApiSettings(token_secret="a secret of the tests"))


def video(i: int, **changes: Any) -> Video:
    """The i-th made-up video: a category of four, a creator of nine, an hour older than the last."""
    category = CATEGORIES[i % len(CATEGORIES)]
    fields: dict[str, Any] = {
        "video_id": f"v{i}",
        "published_at": NOW_MS - i * HOUR_MS,
        "title": f"{category} clip {i}",
        "tags": (category, f"tag{i % 7}"),
        "category": category,
        "language": ("de", "en")[i % 2],
        "creator_id": f"c{i % 9}",
        "duration_ms": 30_000,
        "thumbnail_url": f"/pictures/{i}.jpg",
    }
    return Video(**(fields | changes))


@dataclass(frozen=True)
class World:
    """Dependencies with handles on what is behind them."""

    deps: Dependencies
    log: MemoryLog
    users: MemoryUsers

    def publish(self, videos: Sequence[Video]) -> None:
        """Into catalog and index, as the follower does it."""
        at = len(self.deps.catalog)
        vectors = self.deps.bundle.items.embed(videos)
        self.deps.catalog.upsert(videos, vectors, [(0, at + i) for i in range(len(videos))])
        self.deps.index.upsert(np.array([hash64(v.video_id) for v in videos]), vectors)

    def remove(self, video_id: str) -> None:
        self.deps.catalog.remove(video_id)
        self.deps.index.remove(np.array([hash64(video_id)]))

    def count(self, trends: dict[str, float], country: int = 0) -> None:
        """Statistics as the flow would publish them: 100 impressions for each named video."""
        records = [
            VideoStats(
                hash64(v), "events:0", NOW_MS, (100.0, 20.0, 10.0, 2.0, 5.0), trend,
                {country: trend} if country else {},
                Neighbours((hash64("v40"), hash64("v0"), hash64("v4")), (3.0, 2.0, 1.0)),
            )
            for v, trend in trends.items()
        ]  # fmt: skip
        self.deps.board.apply(of_records(records))
        catalog = self.deps.catalog
        self.deps.board.refresh(
            NOW_MS, lambda ids: catalog.columns(catalog.rows_of(ids))["category"]
        )

    def watch(self, user: str, *videos: str, kind: Any = "watch_complete") -> None:
        """Events of one user, a second apart, the last one a second ago."""
        for i, v in enumerate(videos):
            ts = NOW_MS - 1000 * (len(videos) - i)
            event = Event(f"{user}-{v}-{kind}", user, kind, ts, video_id=v)
            self.log.produce("events", user.encode(), encode_event(event))

    def profile(self, user: str, **fields: Any) -> None:
        self.log.produce("profiles", user.encode(), encode_profile(Profile(user, **fields)))


def world(
    videos: Sequence[Video] = (),
    settings: Settings = SETTINGS,
    clock_ms: Callable[[], int] = lambda: NOW_MS,
    bundle: Bundle = BUNDLE,
    **changes: Any,
) -> World:
    """A world of `videos`; `changes` replace dependencies."""
    catalog = Catalog(bundle.items.dim)
    log = MemoryLog()
    users = MemoryUsers(log, bundle, catalog, clock_ms)
    deps = Dependencies(
        settings=settings,
        bundle=bundle,
        catalog=catalog,
        index=LiveIndex(bundle.items.dim, settings.index),
        board=StatsBoard(settings.stats),
        users=users,
        publisher=log,
        ready=lambda: (True, "caught up"),
        clock_ms=clock_ms,
    )
    made = World(replace(deps, **changes), log, users)
    if videos:
        made.publish(videos)
    return made


def busy_world(n: int = 120, **changes: Any) -> World:
    """`n` videos, some trending, and a viewer "ann" who watched three about cooking."""
    made = world([video(i) for i in range(n)], **changes)
    made.count({f"v{i}": float(50 - i) for i in range(1, min(n, 40), 3)}, country=0)
    made.watch("ann", "v0", "v4", "v8")
    return made
