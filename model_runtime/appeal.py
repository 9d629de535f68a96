"""How much a candidate appeals to a viewer now: one learned sum over what the funnel knows of it.

The towers say what a viewer likes, the statistics what everybody takes to at this hour, the ranker what
would come of a page. None of them alone orders a feed best; their sum, with weights learned from what
people took to next (`model_runtime.evaluation.appeal_fitting`), does. numpy only.

appeal.json   the weights, in the folder of a bundle of any kind
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from contracts.batch import Column
from contracts.errors import BundleError
from contracts.features import FEATURE_COLUMNS
from contracts.models import F32
from model_runtime.linear_ranker import SHAPES
from model_runtime.ranker_form import PROBABILITIES

FILE: Final = "appeal.json"
F64 = NDArray[np.float64]
_COUNTS: Final = ("impressions", "clicks")
_FAR: Final = 60.0  # e^60 is a float32, and so is its inverse
_NOBODY: Final = 0.1  # people: what a video that nobody takes to now counts as, in the logarithm


def _log_odds(x: F64) -> F64:
    p = np.clip(x, 1e-4, 1 - 1e-4)
    out: F64 = np.log(p / (1 - p))
    return out


def _count(x: F64) -> F64:
    return np.log1p(np.maximum(x, 0))


def _now(x: F64) -> F64:
    return np.log(np.maximum(x, 0) + _NOBODY)


# Columns of both together, and the heads of a ranker; a name, an hour or a language says nothing alone.
TERMS: Final = (
    "cosine", "trend", "clicks", "impressions", "ctr", "complete_rate", "like_rate", "skip_rate",
    "affinity_category", "affinity_creator", "affinity_tags", "follows_creator", "age_hours",
    "language_match", *PROBABILITIES,
)  # fmt: skip
_SHAPES: Final[Mapping[str, Callable[[F64], F64]]] = {
    **{name: SHAPES[name] for name in TERMS if name in SHAPES},
    **dict.fromkeys(_COUNTS, _count),
    **dict.fromkeys(PROBABILITIES, _log_odds),
    "trend": _now,
}
_SERVED: Final = {spec.name for spec in FEATURE_COLUMNS}


class Appeal(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A weight a term; a term without one says nothing.

    Attributes:
        base: the mean log of the sum of all videos' exp(sum of terms) when it was learned, so that a
            score is about the probability that the video is the next that the viewer takes to.
        trend_half_life_h: of the column `trend` when it was learned; 0 where that was not noted.

    Raises:
        ValueError: a weight of something that is no term, or no number.
    """

    weights: dict[str, float]
    base: float = 0.0
    trend_half_life_h: float = 0.0

    def __post_init__(self) -> None:
        if unknown := sorted(set(self.weights) - set(TERMS)):
            raise ValueError(f"no such term of appeal: {', '.join(unknown)}")
        if not np.isfinite([self.base, *self.weights.values()]).all():
            raise ValueError("a weight of appeal is no number")

    @property
    def features(self) -> tuple[str, ...]:
        """Columns of the feature list that are read."""
        return tuple(name for name in self.weights if name in _SERVED)

    @property
    def reads_heads(self) -> bool:
        """Whether a ranker has to be asked before."""
        return not self.weights.keys().isdisjoint(PROBABILITIES)

    def score(self, columns: Mapping[str, Column], n: int) -> F32:
        """(n,) float32, positive; a row's value depends on that row alone."""
        out = np.full(n, -self.base)
        for name, weight in self.weights.items():
            out += weight * shaped(name, columns[name])
        score: F32 = np.exp(np.clip(out, -_FAR, _FAR)).astype(np.float32)
        return score


def shaped(name: str, column: Column) -> F64:
    """A column as it enters the sum; what is not finite says nothing."""
    values = np.asarray(column, np.float64)
    shape = _SHAPES.get(name)
    out = shape(values) if shape else values
    return np.nan_to_num(out, nan=0.0, posinf=0.0, neginf=0.0)


def to_file(appeal: Appeal) -> dict[str, bytes]:
    """What a bundle holds of it."""
    return {FILE: msgspec.json.encode(appeal)}


def from_files(bundle_id: str, files: Mapping[str, Any]) -> Appeal | None:
    """That of a bundle's files; None where they hold none.

    Raises:
        BundleError: it cannot be read.
    """
    if FILE not in files:
        return None
    try:
        return msgspec.json.decode(files[FILE], type=Appeal)
    except (msgspec.DecodeError, ValueError) as e:
        raise BundleError(f"bundle {bundle_id!r}: {FILE}: {e}") from None
