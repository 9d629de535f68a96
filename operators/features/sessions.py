"""Sessions: activity without a gap of more than 30 minutes (a setting)."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from contracts.batch import CandidateBatch, Column
from contracts.features import VIEWER_COLUMNS
from operators.features.protocol import Asked, Feature, LiveEvents, Records
from operators.kernel import kernel

_MINUTE_MS: Final = 60_000
_MOST_MS: Final = 2**32 - 1
FIELDS: Final = [
    "session_start_ms",
    "session_last_ms",
    "session_until_ms",
    "session_events",
    "session_watch_ms",
    "sessions",
]
_SPEC: Final = {spec.name: spec for spec in VIEWER_COLUMNS}


def fold(records: Records, events: LiveEvents) -> None:
    """Begin a session after a gap; an event that comes late belongs to the session that is on."""
    gap_ms = int(events.settings.session_gap_min * _MINUTE_MS)
    _fold(records[FIELDS], events.rows, gap_ms)


@kernel
def _fold(records: Records, events: NDArray[Any], gap_ms: int) -> None:
    for e in events:
        r = records[e.user]
        if e.ts_ms - r.session_last_ms > gap_ms:
            r.session_start_ms = e.ts_ms
            r.session_events = 0
            r.session_watch_ms = 0
            r.sessions += 1
        r.session_events += 1
        # At its most it does not wrap to nothing.
        r.session_watch_ms = min(r.session_watch_ms + max(e.watch_ms, 0), _MOST_MS)
        r.session_last_ms = max(r.session_last_ms, e.ts_ms)
        r.session_until_ms = r.session_last_ms + gap_ms


def gaps_s(records: Records, events: NDArray[Any]) -> NDArray[np.float32]:
    """(n,) seconds since the newest event before; 0 for a person's first, and for a late one."""
    return _gaps_s(records["session_last_ms"].copy(), events)


@kernel
def _gaps_s(last_ms: NDArray[np.int64], events: NDArray[Any]) -> NDArray[np.float32]:
    gaps = np.zeros(len(events), np.float32)
    for i, e in enumerate(events):
        before = last_ms[e.user]
        if before > 0 and e.ts_ms > before:
            gaps[i] = (e.ts_ms - before) / 1000
        last_ms[e.user] = max(before, e.ts_ms)
    return gaps


def _current(state: Any, now_ms: int) -> bool:
    return now_ms <= int(state["session_until_ms"])


def _events(state: Any, batch: CandidateBatch, asked: Asked) -> Column:
    return np.asarray(state["session_events"] if _current(state, asked.now_ms) else 0, np.float32)


def _minutes(state: Any, batch: CandidateBatch, asked: Asked) -> Column:
    started = int(state["session_start_ms"])
    minutes = max(asked.now_ms - started, 0) / _MINUTE_MS if _current(state, asked.now_ms) else 0.0
    return np.asarray(minutes, np.float32)


FEATURES: Final = (
    Feature(_SPEC["session_events"], _events),
    Feature(_SPEC["session_minutes"], _minutes),
)
