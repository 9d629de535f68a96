"""The simpler job that the peers do for each event, one person at a time.

A session counter, 16 decayed tastes, the last 50 videos, and a linear recurrence of 64 numbers over
the videos' vectors. No catalog, no features of languages, creators, tags and hours, no filters of what
was seen, no repeated events, nothing that can be read from outside: that is the engine's job.

State is a plain dict of lists, which both JSON and pickle take. Event time drives decay.
"""

from typing import Any, Final

import numpy as np

CATEGORIES: Final = 16
LAST_VIDEOS: Final = 50
DIM: Final = 64
GAP_MS: Final = 30 * 60_000
HALF_LIFE_MS: Final = 6 * 3_600_000
WEIGHT: Final = {"click": 1.0, "watch": 0.5, "like": 3.0, "skip": -1.0}

_KEEP: Final = np.linspace(0.90, 0.999, DIM, dtype=np.float32)
_VIDEOS: Final = 100_000
_VECTORS: Final = np.random.default_rng(7).normal(0, 0.05, (_VIDEOS, DIM)).astype(np.float32)

State = dict[str, Any]


def new() -> State:
    """Of a person without events."""
    return {
        "events": 0,
        "sessions": 0,
        "last_ms": 0,
        "taste": [0.0] * CATEGORIES,
        "videos": [],
        "hidden": np.zeros(DIM, np.float32),
    }


def apply(state: State, kind: str, video: int, category: int, watched_ms: int, at_ms: int) -> None:
    """One event, in place. `hidden` is a (64,) float32 array."""
    state["events"] += 1
    gain = WEIGHT[kind] + watched_ms / 60_000
    behind_ms = at_ms - state["last_ms"]
    if behind_ms > 0:
        if behind_ms > GAP_MS:
            state["sessions"] += 1
        kept = 0.5 ** (behind_ms / HALF_LIFE_MS)
        state["taste"] = [value * kept for value in state["taste"]]
        state["last_ms"] = at_ms
    else:  # late: it has decayed already
        gain *= 0.5 ** (-behind_ms / HALF_LIFE_MS)
    state["taste"][category] += gain
    videos = state["videos"]
    videos.append(video)
    del videos[:-LAST_VIDEOS]
    hidden = state["hidden"]
    hidden *= _KEEP
    hidden += _VECTORS[video % _VIDEOS]
