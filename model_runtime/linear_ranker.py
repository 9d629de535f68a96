"""The day-0 ranker: a few hand-set coefficients a head, through a sigmoid.

At the declared defaults of all columns each head says the prior of its rate, so a video and a viewer
of whom nothing is known get the engine's prior; what is known moves the log-odds. The numbers are
judgement, not training: they only have to order candidates sensibly until a trained bundle comes.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from contracts.batch import CandidateBatch, Column, ColumnSpec, f32
from contracts.features import FEATURE_COLUMNS

F64 = NDArray[np.float64]
LONGEST_WATCH_S: Final = 60.0
_DEFAULTS: Final = {spec.name: float(spec.default) for spec in FEATURE_COLUMNS}


def _as_it_is(x: F64) -> F64:
    return x


def _squashed(x: F64) -> F64:
    """A decayed weight without bounds to (-1, 1): three whole watches (about 6) are 0.75."""
    return x / (np.abs(x) + 2.0)


def _log_odds(x: F64) -> F64:
    p = np.clip(x, 1e-3, 1 - 1e-3)
    out: F64 = np.log(p / (1 - p))
    return out


def _habit(x: F64) -> F64:
    """Share of the viewer's day in this hour: 0 as usual or unknown, at most 1."""
    return np.where(x > 0, np.clip(24 * x - 1, -1, 3) / 3, 0.0)


def _fresh(x: F64) -> F64:
    """1 for a new video, a half after a week."""
    return np.exp2(-np.clip(x, 0, 24 * 365) / 168)


def _logarithm(x: F64) -> F64:
    return np.log1p(np.maximum(x, 0)) / 5


# How a column enters the sum; a column without a line enters as it is.
SHAPES: Final[Mapping[str, Callable[[F64], F64]]] = {
    "affinity_category": _squashed,
    "affinity_creator": _squashed,
    "affinity_language": _squashed,
    "affinity_tags": _squashed,
    "hour_habit": _habit,
    "session_events": _logarithm,
    "session_minutes": _logarithm,
    "age_hours": _fresh,
    "impressions": _logarithm,
    "ctr": _log_odds,
    "complete_rate": _log_odds,
    "like_rate": _log_odds,
    "skip_rate": _log_odds,
}


class Head(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One head: its value where nothing is known, and log-odds per unit of each shaped column."""

    prior: float
    weights: dict[str, float]
    scale: float = 1.0


HEADS: Final[Mapping[str, Head]] = {
    # A cosine of 0.5 (same category) is worth what a three times better click rate is.
    "p_click": Head(0.1, {
        "cosine": 2.2, "ctr": 1.0, "affinity_category": 1.0, "affinity_creator": 0.8,
        "affinity_tags": 0.5, "affinity_language": 0.2, "follows_creator": 0.8,
        "language_match": 0.6, "age_hours": 0.3, "hour_habit": 0.1,
    }),
    "p_complete": Head(0.2, {
        "cosine": 1.6, "complete_rate": 1.0, "affinity_category": 0.8, "affinity_creator": 0.6,
        "affinity_tags": 0.3, "mean_share": 1.5, "language_match": 0.8, "session_minutes": -0.2,
    }),
    "p_like": Head(0.02, {
        "cosine": 1.8, "like_rate": 1.0, "affinity_category": 0.6, "affinity_creator": 1.2,
        "affinity_tags": 0.4, "follows_creator": 1.0,
    }),
    "p_skip": Head(0.2, {
        "cosine": -2.0, "skip_rate": 1.0, "affinity_category": -1.2, "affinity_creator": -0.8,
        "affinity_tags": -0.4, "mean_share": -1.0, "language_match": -0.8, "session_events": 0.2,
    }),
    "p_not_interested": Head(0.01, {
        "cosine": -2.5, "skip_rate": 0.5, "affinity_category": -2.0, "affinity_creator": -1.5,
        "affinity_tags": -0.8, "language_match": -0.6,
    }),
    "watch_s": Head(0.25, {
        "cosine": 1.6, "complete_rate": 0.6, "skip_rate": -0.4, "affinity_category": 0.8,
        "affinity_creator": 0.6, "mean_share": 1.2, "language_match": 0.6,
    }, LONGEST_WATCH_S),
}  # fmt: skip


class LinearRanker:
    """The ranker of the day-0 bundle.

    Raises:
        ValueError: a head names a column that is not in the feature list, or its prior is no share.
    """

    def __init__(self, heads: Mapping[str, Head] = HEADS) -> None:
        self._heads = dict(heads)
        used = {name for head in heads.values() for name in head.weights}
        if unknown := sorted(used - set(_DEFAULTS)):
            raise ValueError(f"not in the feature list: {', '.join(unknown)}")
        if wrong := sorted(name for name, head in heads.items() if not 0 < head.prior < 1):
            raise ValueError(f"prior is not between 0 and 1: {', '.join(wrong)}")
        if absent := sorted(set(HEADS) - set(heads)):
            raise ValueError(f"heads are missing: {', '.join(absent)}")
        self.features = tuple(name for name in _DEFAULTS if name in used)
        self.provides: tuple[ColumnSpec, ...] = tuple(
            f32(name, head.prior * head.scale) for name, head in self._heads.items()
        )

    def predict(self, batch: CandidateBatch) -> Mapping[str, NDArray[Any]]:
        """(n,) float32 per head; NaN and infinities in a column count as its default."""
        shaped = {name: _moved(name, batch[name]) for name in self.features}
        return {name: _evaluate(head, shaped, len(batch)) for name, head in self._heads.items()}


def _moved(name: str, column: Column) -> F64:
    """(n,) how far the shaped column is from its shaped default."""
    default = np.array([_DEFAULTS[name]])
    values = np.where(np.isfinite(column), column, default).astype(np.float64)
    shape = SHAPES.get(name, _as_it_is)
    return shape(values) - shape(default)


def _evaluate(head: Head, shaped: Mapping[str, F64], n: int) -> NDArray[np.float32]:
    z = np.full(n, math.log(head.prior / (1 - head.prior)))
    for name, weight in head.weights.items():
        z += weight * shaped[name]
    out: NDArray[np.float32] = (head.scale / (1 + np.exp(-np.clip(z, -30, 30)))).astype(np.float32)
    return out
