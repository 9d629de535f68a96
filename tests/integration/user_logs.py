"""A generated log of what people did, and the states that the user flow has to make of it."""

from typing import Any

import numpy as np

from contracts.events import Event, EventType, encode_event
from contracts.settings import ModelSettings, UserSettings
from contracts.user_record import new_users, user_dtype
from contracts.videos import Video
from model_runtime import bundles
from operators.catalog import Catalog
from operators.derive import derive
from operators.event_columns import RawMessages, decode_events
from operators.offsets import slot_key
from operators.user_fold import UserFold
from tests.integration.running import Deployment, eventually

NOW_MS = 1_790_000_000_000
# What a clean fold of the log cannot know: how often it was written, when, and from which offset.
NOT_COMPARED = ("version", "folded_ms", "newest_ms", "slot_key", "slot_offset", "form")
VIDEOS = [
    Video(f"v{i}", NOW_MS, f"clip {i}", category=("cooking", "chess")[i % 2], duration_ms=20_000,
          creator_id=f"c{i % 5}", tags=("fun",))
    for i in range(20)
]  # fmt: skip
KINDS: tuple[EventType, ...] = (
    "click",
    "watch_complete",
    "like",
    "skip",
    "watch_50_percent",
    "share",
    "follow",
)


def log_of(n: int, people: int, seed: int = 1) -> list[Event]:
    rng = np.random.default_rng(seed)
    return [
        Event(
            f"e{seed}-{i}", f"u{rng.integers(people)}", KINDS[rng.integers(len(KINDS))],
            NOW_MS + i * 50, f"v{rng.integers(25)}",
        )
        for i in range(n)
    ]  # fmt: skip


def encoded(events: list[Event]) -> list[bytes]:
    return [encode_event(e) for e in events]


def clean_fold(events: list[Event], users: list[str]) -> Any:
    """One pass over the log in one process: what the state has to be."""
    bundle = bundles.load(ModelSettings())
    catalog = Catalog(bundle.items.dim)
    catalog.upsert(VIDEOS, bundle.items.embed(VIDEOS), [(0, i) for i in range(len(VIDEOS))])
    n = len(events)
    raw = RawMessages(
        encoded(events), [None] * n, np.full(n, slot_key(0, "events", 0)),
        np.arange(n), np.full(n, 2 * NOW_MS),
    )  # fmt: skip
    columns, _ = decode_events(raw, 300_000)
    records = new_users(len(columns.users), user_dtype(bundle.users.hidden, bundle.users.dim))
    derive(records, bundle, catalog)
    UserFold(bundle, catalog, UserSettings())(records, columns, {}, NOW_MS)
    row = {user: i for i, user in enumerate(columns.users)}
    return records[[row[u] for u in users]]


def assert_equal_user_by_user(engine: Deployment, events: list[Event]) -> None:
    users = sorted({e.user_id for e in events})
    stored, clean = engine.users(users), clean_fold(events, users)
    for name in stored.dtype.names or ():
        if name not in NOT_COMPARED:
            np.testing.assert_array_equal(stored[name], clean[name], err_msg=name)


def with_catalog(engine: Deployment) -> None:
    ends = engine.send_videos(VIDEOS)
    engine.start("video-vectors")
    eventually(lambda: engine.folded_up_to(ends, "video-vectors"), what="vectors")
