"""Sessions: activity without a gap of more than 30 minutes (a setting)."""

from typing import Any, Final

import numpy as np

from contracts.batch import CandidateBatch, Column
from contracts.features import VIEWER_COLUMNS
from operators.features.protocol import Feature, Records, Round

_MINUTE_MS: Final = 60_000
_MOST_MS: Final = 2**32 - 1
_SPEC: Final = {spec.name: spec for spec in VIEWER_COLUMNS}


def fold(records: Records, rounds: Round) -> None:
    """Begin a session after a gap; an event that comes late belongs to the session that is on."""
    events = rounds.events
    ts, last = events["ts_ms"], records["session_last_ms"]
    fresh = ts - last > rounds.settings.session_gap_min * _MINUTE_MS
    watched = np.maximum(events["watch_ms"], 0).astype(np.uint64)
    records["session_start_ms"] = np.where(fresh, ts, records["session_start_ms"])
    records["sessions"] += fresh
    records["session_events"] = np.where(fresh, 0, records["session_events"]) + 1
    total = np.where(fresh, np.uint64(0), records["session_watch_ms"]) + watched
    records["session_watch_ms"] = np.minimum(total, _MOST_MS)  # does not wrap to nothing
    records["session_last_ms"] = np.maximum(last, ts)
    gap_ms = int(rounds.settings.session_gap_min * _MINUTE_MS)
    records["session_until_ms"] = records["session_last_ms"] + gap_ms


def _current(state: Any, now_ms: int) -> bool:
    return now_ms <= int(state["session_until_ms"])


def _events(state: Any, batch: CandidateBatch, now_ms: int, language: int) -> Column:
    return np.asarray(state["session_events"] if _current(state, now_ms) else 0, np.float32)


def _minutes(state: Any, batch: CandidateBatch, now_ms: int, language: int) -> Column:
    started = int(state["session_start_ms"])
    minutes = max(now_ms - started, 0) / _MINUTE_MS if _current(state, now_ms) else 0.0
    return np.asarray(minutes, np.float32)


FEATURES: Final = (
    Feature(_SPEC["session_events"], _events),
    Feature(_SPEC["session_minutes"], _minutes),
)
