"""How good a head is: area under the ROC curve, calibration error, and what chance has to do with it."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
Bools = NDArray[np.bool_]
DRAWS: Final = 1000
_CALIBRATION_BINS: Final = 15
_PAIRS: Final = 100_000


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure and the 95 % interval of its bootstrap; NaN where it has no meaning."""

    value: float
    low: float
    high: float


def auc(positive: Bools, score: Floats, weight: NDArray[Any] | None = None) -> float:
    """How often a positive row is above a negative one, ties a half; NaN without both.

    >>> auc(np.array([False, True, True]), np.array([0.1, 0.1, 0.9]))
    0.75
    """
    weight = np.ones(len(score)) if weight is None else weight
    return float(_weighted_auc(_Ranked.of(positive, score), weight))


def calibration_error(positive: Bools, p: Floats, bins: int = _CALIBRATION_BINS) -> float:
    """Expected calibration error: |mean p - rate| over bins of equally many rows, weighted by them."""
    order = np.argsort(p, kind="stable")
    parts = np.array_split(order, min(bins, len(order)))
    gaps = [abs(float(p[part].mean()) - float(positive[part].mean())) * len(part) for part in parts]
    return sum(gaps) / len(order)


def concordance(watched: Floats, ended: Bools, score: Floats, seed: int = 0) -> float:
    """How often of two videos the longer watched one has the higher score, ties a half.

    Pairs are drawn at random; one counts if it is known which was watched longer: the shorter watch
    must not have been cut off by the video's end (Harrell's C).
    """
    return _concordant(*_pairs(watched, ended, seed), score, None)


def intervals(
    positive: Bools, scores: dict[str, Floats], person: NDArray[np.intp], seed: int = 0
) -> dict[str, Interval]:
    """AUC of each score, and of each pair the difference ("a - b"), people drawn with repetition.

    Rows of one person are not independent, so people are drawn, not rows.
    """
    ranked = {name: _Ranked.of(positive, score) for name, score in scores.items()}
    return _bootstrap(
        person, seed, lambda weight: {n: _weighted_auc(r, weight) for n, r in ranked.items()}
    )


def concordance_intervals(
    watched: Floats,
    ended: Bools,
    scores: dict[str, Floats],
    person: NDArray[np.intp],
    seed: int = 0,
) -> dict[str, Interval]:
    """`concordance` as `intervals`."""
    pairs = _pairs(watched, ended, seed)
    return _bootstrap(
        person, seed,
        lambda weight: {n: _concordant(*pairs, score, weight) for n, score in scores.items()},
    )  # fmt: skip


def _bootstrap(person: NDArray[np.intp], seed: int, measure: Any) -> dict[str, Interval]:
    rng, people = np.random.default_rng(seed), int(person.max()) + 1
    there = np.unique(person)
    value = _with_differences(measure(np.ones(len(person))))
    drawn: dict[str, list[float]] = {name: [] for name in value}
    for _ in range(DRAWS):
        times = np.zeros(people)
        times[there] = np.bincount(rng.integers(len(there), size=len(there)), minlength=len(there))
        for name, one in _with_differences(measure(times[person])).items():
            drawn[name].append(one)
    out = {}
    for name, ones in drawn.items():
        known = np.array(ones)[np.isfinite(ones)]
        low, high = np.quantile(known, [0.025, 0.975]) if len(known) else (np.nan, np.nan)
        out[name] = Interval(value[name], float(low), float(high))
    return out


def _with_differences(one: dict[str, float]) -> dict[str, float]:
    names = list(one)
    pairs = [(a, b) for i, a in enumerate(names) for b in names[i + 1 :]]
    return one | {f"{a} - {b}": one[a] - one[b] for a, b in pairs}


@dataclass(frozen=True, slots=True, eq=False)
class _Ranked:
    """Rows by score; `group` numbers equal scores."""

    order: NDArray[np.intp]
    positive: Bools
    group: NDArray[np.intp]

    @classmethod
    def of(cls, positive: Bools, score: Floats) -> "_Ranked":
        order = np.argsort(score, kind="stable")
        again = np.r_[False, np.diff(score[order]) > 0]
        return cls(order, positive[order], np.cumsum(again))


def _weighted_auc(of: _Ranked, weight: NDArray[Any]) -> float:
    w = weight[of.order]
    groups = int(of.group[-1]) + 1 if len(w) else 0
    good = np.bincount(of.group, w * of.positive, groups)
    bad = np.bincount(of.group, w * ~of.positive, groups)
    below = np.cumsum(bad) - bad
    pairs = good.sum() * bad.sum()
    return float((good * (below + bad / 2)).sum() / pairs) if pairs else float("nan")


def _pairs(watched: Floats, ended: Bools, seed: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """(shorter, longer) rows."""
    rng = np.random.default_rng(seed)
    known = np.flatnonzero(np.isfinite(watched))
    a, b = rng.choice(known, _PAIRS), rng.choice(known, _PAIRS)
    a, b = np.where(watched[a] < watched[b], a, b), np.where(watched[a] < watched[b], b, a)
    sure = (watched[a] < watched[b]) & ~ended[a]
    return a[sure], b[sure]


def _concordant(
    a: NDArray[np.intp], b: NDArray[np.intp], score: Floats, weight: NDArray[Any] | None
) -> float:
    right = (score[b] > score[a]) + (score[b] == score[a]) / 2
    if weight is None:
        return float(right.mean()) if len(right) else float("nan")
    w = weight[a] * weight[b]
    return float((right * w).sum() / w.sum()) if w.sum() else float("nan")
