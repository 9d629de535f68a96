"""What is known about a viewer, in the catalog's words."""

from typing import Any

import msgspec
import numpy as np

from operators.catalog import Catalog
from operators.describe import describe


class KnownProfile(msgspec.Struct, frozen=True):
    """What the person told us; countries and languages are codes."""

    country: str | None
    language: str | None
    age: int | None
    interests: list[str]
    blocked_creators: list[str]
    created_at: str | None


class KnownSession(msgspec.Struct, frozen=True):
    """The newest session, whether or not it is over."""

    number: int
    started_at: str | None
    last_event_at: str | None
    events: int
    watch_s: float


class KnownStatistics(msgspec.Struct, frozen=True):
    """Counts since the person was first seen, or forgotten."""

    events: int
    clicks: int
    watches: int
    completes: int
    likes: int
    skips: int
    mean_watch_s: float | None
    mean_share: float | None


class KnownEvent(msgspec.Struct, frozen=True):
    """An event of the history; `video_id` is None where the catalog does not know it any more."""

    video_id: str | None
    action: str
    watched_share: float | None
    at: str | None


class KnownSearch(msgspec.Struct, frozen=True):
    """A search, cut at 48 bytes."""

    query: str
    at: str | None


class Known(msgspec.Struct, frozen=True):
    """A person as the engine sees them. A name that the catalog does not know is its hash: #0a1b2c3d.

    Attributes:
        affinities: of category, creator, tag and language: name -> decayed weight.
        active_hours_utc: hour -> share of the events.
        history: newest first.
        not_interested: how many videos were refused.
        freshness_ms: from the newest event's time to its fold.
    """

    user_id: str
    profile: KnownProfile
    session: KnownSession
    statistics: KnownStatistics
    affinities: dict[str, dict[str, float | None]]
    active_hours_utc: dict[str, float | None]
    history: list[KnownEvent]
    follows: list[str]
    not_interested: int
    searches: list[KnownSearch]
    forgotten_at: str | None
    freshness_ms: int
    version: int


def known_about(user_id: str, state: Any, catalog: Catalog) -> Known:
    """One record (`operators.describe`) as an answer."""

    def video_of(video: int) -> str | None:
        row = catalog.rows_of(np.array([video], np.int64))[0]
        return catalog.video_id(row) if row >= 0 else None

    described = describe(state, catalog.name_of, video_of)
    return msgspec.convert({"user_id": user_id, **described}, Known)
