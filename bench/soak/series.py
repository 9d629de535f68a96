"""A series of samples and whether it grows: pure.

The judgement is by Theil and Sen's slope, the median of the slopes between any two points, over the
medians of equal spans of time: so neither a saw-tooth (a collector that collects) nor a few outliers
(a neighbour on the machine) decide. Growing means that even the lower end of the slope's 95 %
interval adds up to more than the tolerance over the time that was measured. One step up (a table
that was doubled) is no growth; stairs are.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]
_BINS: Final = 60
_FEWEST: Final = 6  # bins; with fewer nothing is said
_Z95: Final = 1.96


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How much a series may grow over the measured time: the larger of the two.

    Attributes:
        share: of its level at the start.
        floor: in its own unit.
        worse: 1 if more is worse, -1 if less is.
    """

    share: float
    floor: float
    worse: int = 1


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """One figure over time.

    Attributes:
        panel: title of the chart that it belongs to; `name` is its line there.
        at_s: (n,) float64 seconds since the load began.
        values: (n,) float64, NaN where nothing was measured.
        tolerance: None if it is reported and not judged.
    """

    panel: str
    name: str
    unit: str
    at_s: F64
    values: F64
    tolerance: Tolerance | None = None

    def since(self, start_s: float) -> "Series":
        """The part from `start_s` on, without what was not measured."""
        keep = (self.at_s >= start_s) & np.isfinite(self.values)
        at_s, values = self.at_s[keep], self.values[keep]
        return Series(self.panel, self.name, self.unit, at_s, values, self.tolerance)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a series.

    Attributes:
        first, last: medians of the first and the last third.
        per_hour: the slope.
        growth: what the lower end of the slope's interval adds up to over the measured time, in
            the direction that is worse; 0.0 if that may be nothing.
        allowed: the tolerance in the series' own unit.
        word: "flat", "GROWS", "too short" or "reported".
    """

    first: float
    last: float
    per_hour: float
    growth: float
    allowed: float
    word: str

    @property
    def grows(self) -> bool:
        return self.word == "GROWS"


def judge(series: Series) -> Verdict:
    """The verdict on a series, all of it measured: see `Series.since`."""
    at_s, values = series.at_s, series.values
    if not len(values):
        return Verdict(np.nan, np.nan, np.nan, 0.0, np.nan, "too short")
    first, last = (float(np.median(values[part])) for part in _thirds(at_s))
    at_s, values = binned(at_s, values)
    if len(values) < _FEWEST:
        return Verdict(first, last, np.nan, 0.0, np.nan, "too short")
    low, slope, high = theil_sen(at_s, values)
    if series.tolerance is None:
        return Verdict(first, last, slope * 3600, 0.0, np.nan, "reported")
    bound = series.tolerance
    growth = max((low if bound.worse > 0 else -high) * float(at_s[-1] - at_s[0]), 0.0)
    allowed = max(bound.share * abs(first), bound.floor)
    word = "GROWS" if growth > allowed else "flat"
    return Verdict(first, last, slope * 3600, growth, allowed, word)


def binned(at_s: F64, values: F64, bins: int = _BINS) -> tuple[F64, F64]:
    """Medians of time and value in at most `bins` equal spans of time; empty spans are left out."""
    bins = min(bins, len(values))
    width = (float(at_s[-1]) - float(at_s[0])) / bins or 1.0
    number = np.minimum(((at_s - at_s[0]) / width).astype(int), bins - 1)
    there = np.unique(number)
    medians = [(np.median(at_s[number == b]), np.median(values[number == b])) for b in there]
    out = np.array(medians, np.float64)
    return out[:, 0], out[:, 1]


def theil_sen(x: F64, y: F64) -> tuple[float, float, float]:
    """(low, slope, high): the median slope of all pairs, and its 95 % interval (Sen, 1968).

    >>> import numpy as np
    >>> theil_sen(np.arange(10.0), 2 * np.arange(10.0))
    (2.0, 2.0, 2.0)
    """
    n = len(x)
    i, j = np.triu_indices(n, 1)
    slopes = np.sort((y[j] - y[i]) / (x[j] - x[i]))
    spread = _Z95 * np.sqrt(n * (n - 1) * (2 * n + 5) / 18)
    low = max(int((len(slopes) - spread) / 2), 0)
    high = min(int(np.ceil((len(slopes) + spread) / 2)), len(slopes) - 1)
    return float(slopes[low]), float(np.median(slopes)), float(slopes[high])


def _thirds(at_s: F64) -> tuple[NDArray[Any], NDArray[Any]]:
    third = (at_s[-1] - at_s[0]) / 3
    return at_s <= at_s[0] + third, at_s >= at_s[-1] - third


def array(values: Sequence[float | None]) -> F64:
    """NaN for None."""
    return np.array([np.nan if v is None else v for v in values], np.float64)
