"""What the simulator measures from the client's side: durations, counts, and their report."""

from collections import Counter, deque
from collections.abc import Mapping
from typing import Any, Final

import numpy as np

KEPT: Final = 20_000  # newest durations of a kind that quantiles are taken of


def quantiles_ms(seconds: "deque[float] | list[float]") -> dict[str, float | int | None]:
    """{"n", "p50_ms", "p99_ms", "max_ms"}; None where there is none."""
    if not seconds:
        return {"n": 0, "p50_ms": None, "p99_ms": None, "max_ms": None}
    p50, p99, top = np.quantile(np.fromiter(seconds, float), (0.5, 0.99, 1.0)) * 1000
    return {"n": len(seconds), "p50_ms": float(p50), "p99_ms": float(p99), "max_ms": float(top)}


class Meters:
    """Durations in seconds by kind, and counters by group and name. One event loop writes it."""

    KINDS: Final = ("event_to_feed", "publish_to_retrievable", "feed", "post", "put")

    def __init__(self, window_s: float) -> None:
        self._window_s = window_s
        self._all: dict[str, deque[float]] = {kind: deque(maxlen=KEPT) for kind in self.KINDS}
        self._recent: dict[str, deque[tuple[float, float]]] = {
            kind: deque(maxlen=KEPT) for kind in self.KINDS
        }
        self.counts: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()
        self.rungs: Counter[str] = Counter()

    def took(self, kind: str, at_s: float, seconds: float) -> None:
        """One duration of a kind of `KINDS`, at a monotonic time."""
        self._all[kind].append(seconds)
        self._recent[kind].append((at_s, seconds))

    def report(self, now_s: float) -> Mapping[str, Any]:
        """Plain JSON: per kind the quantiles since the start and of the window, and the counts."""
        durations = {}
        for kind, recent in self._recent.items():
            while recent and recent[0][0] < now_s - self._window_s:
                recent.popleft()
            newest = [seconds for _, seconds in recent]
            durations[kind] = {
                "total": quantiles_ms(self._all[kind]),
                "recent": quantiles_ms(newest),
            }
        return {
            "durations": durations,
            "counts": dict(self.counts),
            "errors": dict(self.errors),
            "rungs": dict(self.rungs),
        }
