"""What `headrace user` and `headrace video` look at: state and topics, not the API.

The catalog and the statistics are read from their topics as a serving replica reads them, so this
works while the API is down, and takes as long as reading the topics takes.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from confluent_kafka import Message

from api.known import known_about
from contracts.errors import UnavailableError
from contracts.ids import hash64, unpack_language
from contracts.models import Bundle
from contracts.settings import Settings
from contracts.units import HOUR_MS
from headrace.redis_clients import feed_client
from operators.catalog import Catalog
from operators.stats_board import StatsBoard
from streams.catalog_follower import apply_vectors
from streams.follower import TopicFollower
from streams.keys import Keys
from streams.stats_follower import apply_stats
from streams.user_reader import UserReader

Tell = Callable[[int], None]  # videos read so far


@dataclass(frozen=True, slots=True, eq=False)
class World:
    """Catalog and statistics as of now."""

    catalog: Catalog
    board: StatsBoard


def read_topics(
    settings: Settings, bundle: Bundle, timeout_s: float, tell: Tell = lambda _: None
) -> World:
    """Read `video-vectors` and `video-stats` to their end.

    Raises:
        UnavailableError: Kafka does not answer, or it takes longer than `timeout_s`.
    """
    world = World(Catalog(bundle.items.dim), StatsBoard(settings.stats))

    def apply(topic: str, messages: Sequence[Message]) -> None:
        if topic == "video-vectors":
            apply_vectors(world.catalog, bundle.id, messages)
        else:
            apply_stats(world.board, messages)

    follower = TopicFollower(settings.kafka, ["video-vectors", "video-stats"], apply)
    follower.start()
    give_up_s = time.monotonic() + timeout_s
    try:
        while not follower.caught_up.wait(0.1):
            tell(len(world.catalog))
            if time.monotonic() > give_up_s:
                raise UnavailableError(
                    f"the video topics at {settings.kafka.bootstrap} were not read within "
                    f"{timeout_s:.0f} s; is Kafka there?"
                )
    finally:
        follower.close()
    return world


def read_user(
    settings: Settings, bundle: Bundle, catalog: Catalog, user_id: str
) -> dict[str, Any] | None:
    """What is known about a person, in the catalog's words; None for an unknown person.

    Raises:
        UnavailableError: Redis does not answer.
    """
    record = asyncio.run(_record(settings, bundle, catalog, user_id))
    if record is None:
        return None
    facts: dict[str, Any] = msgspec.to_builtins(known_about(user_id, record, catalog))
    return facts


async def _record(settings: Settings, bundle: Bundle, catalog: Catalog, user_id: str) -> Any | None:
    timeout_s = settings.redis.write_timeout_s  # a person waits, not a feed
    client = feed_client(settings.redis.model_copy(update={"timeout_s": timeout_s}))
    try:
        keys = Keys(settings.redis.namespace)
        return await UserReader(client, keys, bundle, catalog, timeout_s).get(user_id)
    finally:
        await client.aclose()


def read_video(world: World, video_id: str, now_ms: int, n: int = 10) -> dict[str, Any] | None:
    """What is known about a video; None for an unknown or removed one."""
    catalog, one = world.catalog, np.array([hash64(video_id)], np.int64)
    rows = catalog.rows_of(one)
    if rows[0] < 0:
        return None
    column = {name: values[0] for name, values in catalog.columns(rows).items()}
    counts = world.board.counts(one, now_ms)[0].tolist()
    rates = world.board.rates(one, now_ms)
    near, weights = world.board.neighbours(one, np.ones(1, np.float32), n)
    return {
        "title": catalog.title(int(rows[0])),
        "category": catalog.name_of(int(column["category"])),
        "creator": catalog.name_of(int(column["creator"])),
        "tags": [catalog.name_of(int(tag)) for tag in column["tags"] if tag],
        "language": unpack_language(int(column["language"])),
        "duration_s": round(int(column["duration_ms"]) / 1000, 1),
        "age_h": round((now_ms - int(column["published_ms"])) / HOUR_MS, 2),
        "min_age": int(column["min_age"]),
        "sponsored": bool(column["sponsored"]),
        "counts": {
            name: round(value, 1)
            for name, value in zip(
                ("impressions", "clicks", "completes", "likes", "skips"), counts, strict=True
            )
        },
        "rates": {name: round(float(values[0]), 4) for name, values in rates.items()},
        "watched_together": _named(catalog, near.tolist(), weights.tolist()),
        "similar_content": _nearest(catalog, rows, n),
    }


def _nearest(catalog: Catalog, rows: Any, n: int) -> list[dict[str, Any]]:
    """The videos of the greatest cosine, by exact search over all."""
    ids = catalog.live_ids()
    others = catalog.rows_of(ids)
    ids, others = (
        ids[(others >= 0) & (others != rows[0])],
        others[(others >= 0) & (others != rows[0])],
    )
    cosine = catalog.vectors(others) @ catalog.vectors(rows)[0]
    best = np.argsort(-cosine, kind="stable")[:n]
    return _named(catalog, ids[best].tolist(), cosine[best].tolist())


def _named(catalog: Catalog, ids: list[int], weights: list[float]) -> list[dict[str, Any]]:
    out = []
    for video, weight in zip(ids, weights, strict=True):
        row = int(catalog.rows_of(np.array([video], np.int64))[0])
        if row >= 0:
            named = {"video_id": catalog.video_id(row), "title": catalog.title(row)}
            out.append({**named, "weight": round(weight, 3)})
    return out
