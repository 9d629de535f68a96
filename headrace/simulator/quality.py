"""How much better served slates are than random ones, with an interval that respects viewers.

Slates of one viewer are alike, so the bootstrap draws whole viewers, not slates.
"""

from collections import deque
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

_ROUNDS: Final = 400
_SUMS: Final = 5  # videos, served seconds, random seconds, served completes, random completes


@dataclass(frozen=True, slots=True)
class Slate:
    """One served page beside as many random videos, for the same viewer.

    Attributes:
        at_s: monotonic seconds.
        viewer: number of the viewer.
        sums: videos; watch seconds served and random; complete watches served and random.
    """

    at_s: float
    viewer: int
    sums: tuple[float, float, float, float, float]


def ratio_interval(
    served: NDArray[np.float64], random: NDArray[np.float64], seed: int, rounds: int = _ROUNDS
) -> tuple[float, float, float]:
    """(ratio, low, high) of sum(served) / sum(random) with a 95 % bootstrap over the rows.

    `served` and `random` are (n,) sums of the same n viewers. All NaN when `random` is all 0;
    one viewer has no interval: [2.0], [1.0] -> (2.0, 2.0, 2.0).
    """
    if not random.sum() > 0:
        return (float("nan"),) * 3
    rng = np.random.default_rng(seed)
    counts = rng.multinomial(len(served), np.full(len(served), 1 / len(served)), size=rounds)
    below = counts @ random
    ratios = np.sort((counts @ served)[below > 0] / below[below > 0])
    low, high = np.quantile(ratios, (0.025, 0.975)) if len(ratios) else (np.nan, np.nan)
    return float(served.sum() / random.sum()), float(low), float(high)


def figures(sums: NDArray[np.float64], seed: int) -> dict[str, Any]:
    """`sums` (viewers, 5) as in `Slate` -> what is reported; None where nothing was shown."""
    videos, served, random, served_complete, random_complete = sums.sum(0).tolist()
    if not videos:
        return {"videos": 0, "ratio": None}
    shown = sums[sums[:, 0] > 0]
    ratio, low, high = ratio_interval(shown[:, 1], shown[:, 2], seed)
    finite = np.isfinite([ratio, low, high]).all()
    return {
        "videos": int(videos),
        "viewers": len(shown),
        "watch_s_served": served / videos,
        "watch_s_random": random / videos,
        "complete_served": served_complete / videos,
        "complete_random": random_complete / videos,
        "ratio": ratio if finite else None,
        "ratio_low": low if finite else None,
        "ratio_high": high if finite else None,
    }


class Quality:
    """Sums per viewer since the start, and the slates of the last `window_s` seconds."""

    def __init__(self, viewers: int, window_s: float, seed: int) -> None:
        self._total = np.zeros((viewers, _SUMS))
        self._recent: deque[Slate] = deque(maxlen=200_000)
        self._window_s = window_s
        self._seed = seed

    def add(self, slate: Slate) -> None:
        """Count one slate."""
        self._total[slate.viewer] += slate.sums
        self._recent.append(slate)

    @property
    def by_viewer(self) -> NDArray[np.float64]:
        """(viewers, 5) sums as in `Slate`, since the start."""
        return self._total.copy()

    def report(self, now_s: float) -> dict[str, Any]:
        """{"total": figures, "recent": figures, "window_s": ...}."""
        while self._recent and self._recent[0].at_s < now_s - self._window_s:
            self._recent.popleft()
        recent = np.zeros_like(self._total)
        if self._recent:
            rows = np.fromiter((slate.viewer for slate in self._recent), np.intp)
            np.add.at(recent, rows, np.array([slate.sums for slate in self._recent]))
        return {
            "total": figures(self._total, self._seed),
            "recent": figures(recent, self._seed),
            "window_s": self._window_s,
        }
