"""What the engine knows of a person, as plain values for JSON that a person can read."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np

from contracts.events import MAX_TIMESTAMP_MS, Action
from contracts.ids import unpack_country, unpack_language
from contracts.user_record import UNKNOWN_AGE, VALUES
from operators.features.affinities import table
from operators.features.follows import followed
from operators.features.history import recent
from operators.features.searches import recent_searches

_ACTIONS: Final = {int(action): action.name.lower() for action in Action}
NameOf = Callable[[int], str | None]


def describe(state: Any, name_of: NameOf, video_of: NameOf) -> dict[str, Any]:
    """JSON-ready description of one record.

    Args:
        name_of: 32-bit hash -> readable category, creator or tag, None unknown.
        video_of: 64-bit hash -> video id, None unknown.
    """
    return {
        "profile": _profile(state, name_of),
        "session": {
            "number": int(state["sessions"]),
            "started_at": _time(state["session_start_ms"]),
            "last_event_at": _time(state["session_last_ms"]),
            "events": int(state["session_events"]),
            "watch_s": round(int(state["session_watch_ms"]) / 1000, 1),
        },
        "statistics": _statistics(state),
        "affinities": {
            "category": _table(state, "category", name_of),
            "creator": _table(state, "creator", name_of),
            "tag": _table(state, "tag", name_of),
            "language": _table(state, "language", unpack_language),
        },
        "active_hours_utc": _hours(state),
        "history": _history(state, video_of),
        "follows": [_name(h, name_of) for h in followed(state).tolist()],
        "not_interested": int((state["refused"] != 0).sum()),
        "searches": [{"query": text, "at": _time(at)} for text, at in recent_searches(state)],
        "forgotten_at": _time(state["forgotten_ms"]),
        "freshness_ms": max(int(state["folded_ms"]) - int(state["newest_ms"]), 0),
        "version": int(state["version"]),
    }


def _profile(state: Any, name_of: NameOf) -> dict[str, Any]:
    return {
        "country": unpack_country(int(state["country"])),
        "language": unpack_language(int(state["language"])),
        "age": None if state["age"] == UNKNOWN_AGE else int(state["age"]),
        "interests": [_name(h, name_of) for h in state["interests"].tolist() if h],
        "blocked_creators": [_name(h, name_of) for h in state["blocks"].tolist() if h],
        "created_at": _time(state["created_ms"]),
    }


def _statistics(state: Any) -> dict[str, Any]:
    watches, shares = int(state["watches"]), int(state["shares"])
    counts = {
        name: int(state[name]) for name in ("events", "clicks", "watches", "completes", "likes")
    }
    return counts | {
        "skips": int(state["skips"]),
        "mean_watch_s": round(float(state["watch_ms_sum"]) / watches / 1000, 2)
        if watches
        else None,
        "mean_share": round(float(state["share_sum"]) / shares, 3) if shares else None,
    }


def _table(state: Any, name: str, name_of: NameOf) -> dict[str, float]:
    keys, values = table(state, name)
    pairs = zip(keys.tolist(), values.tolist(), strict=True)
    return {_name(key, name_of): round(value, 3) for key, value in pairs if value}


def _hours(state: Any) -> dict[str, float]:
    hours = state["affinity"][VALUES["hour"]]
    total = float(hours.sum()) or 1.0
    top = np.argsort(-hours, kind="stable")[:5]
    return {f"{h:02d}": round(float(hours[h]) / total, 3) for h in top.tolist() if hours[h] > 0}


def _history(state: Any, video_of: NameOf) -> list[dict[str, Any]]:
    past = recent(state)
    rows = zip(
        past.ids.tolist(), past.at_s.tolist(), past.actions.tolist(), past.shares.tolist(),
        strict=True,
    )  # fmt: skip
    return [
        {
            "video_id": video_of(video),
            "action": _ACTIONS.get(action, f"#{action}"),
            "watched_share": None if share != share else round(share, 2),  # noqa: PLR0124 (NaN)
            "at": _time(at * 1000),
        }
        for video, at, action, share in rows
    ]


def _name(h: int, name_of: NameOf) -> str:
    return name_of(h) or f"#{h:08x}"


def _time(ms: Any) -> str | None:
    at = int(ms)
    if not 0 < at <= MAX_TIMESTAMP_MS:
        return None
    return datetime.fromtimestamp(at // 1000, UTC).isoformat(timespec="seconds")
