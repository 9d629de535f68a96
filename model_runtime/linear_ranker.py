"""The day-0 ranker: a few hand-set coefficients a head, through a sigmoid.

At the declared defaults of all columns each head says the prior of its rate, so a video and a viewer
of whom nothing is known get the engine's prior; what is known moves the log-odds. The numbers are
judgement, not training: they only have to order candidates sensibly until a trained bundle comes.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from contracts.batch import CandidateBatch, ColumnSpec, f32
from contracts.features import FEATURE_COLUMNS

F64 = NDArray[np.float64]
LONGEST_WATCH_S: Final = 60.0
_DEFAULTS: Final = {spec.name: float(spec.default) for spec in FEATURE_COLUMNS}


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
        used = {name for head in heads.values() for name in head.weights}
        if unknown := sorted(used - set(_DEFAULTS)):
            raise ValueError(f"not in the feature list: {', '.join(unknown)}")
        if wrong := sorted(name for name, head in heads.items() if not 0 < head.prior < 1):
            raise ValueError(f"prior is not between 0 and 1: {', '.join(wrong)}")
        if absent := sorted(set(HEADS) - set(heads)):
            raise ValueError(f"heads are missing: {', '.join(absent)}")
        self.features = tuple(name for name in _DEFAULTS if name in used)
        self.provides: tuple[ColumnSpec, ...] = tuple(
            f32(name, head.prior * head.scale) for name, head in heads.items()
        )
        self._defaults = np.array([[_DEFAULTS[name]] for name in self.features])
        self._shapes = _rows_by_shape(self.features)
        self._origin = self._shaped(self._defaults.copy())
        self._weights = np.array(
            [[head.weights.get(name, 0.0) for name in self.features] for head in heads.values()]
        )
        self._base = np.array([[math.log(h.prior / (1 - h.prior))] for h in heads.values()])
        self._scale = np.array([[head.scale] for head in heads.values()])

    def predict(self, batch: CandidateBatch) -> Mapping[str, NDArray[Any]]:
        """(n,) float32 per head; NaN and infinities in a column count as its default."""
        columns = np.empty((len(self.features), len(batch)))
        for row, name in zip(columns, self.features, strict=True):
            row[:] = batch[name]
        known = np.isfinite(columns)
        if not known.all():
            columns = np.where(known, columns, self._defaults)
        moved = self._shaped(columns) - self._origin
        # einsum, not BLAS: a row's value must not depend on which rows stand beside it.
        z = np.einsum("hf,fn->hn", self._weights, moved) + self._base
        heads = (self._scale / (1 + np.exp(-np.clip(z, -30, 30)))).astype(np.float32)
        return {spec.name: head for spec, head in zip(self.provides, heads, strict=True)}

    def _shaped(self, columns: F64) -> F64:
        """(features, n) as they enter the sum; in place."""
        for shape, rows in self._shapes:
            columns[rows] = shape(columns[rows])
        return columns


def _rows_by_shape(features: Sequence[str]) -> list[tuple[Callable[[F64], F64], list[int]]]:
    """Every shape with the rows of the columns that it is for: one call for all of them."""
    rows: dict[Callable[[F64], F64], list[int]] = {}
    for i, name in enumerate(features):
        if shape := SHAPES.get(name):
            rows.setdefault(shape, []).append(i)
    return list(rows.items())
