"""One number a candidate: what an outcome is worth times how likely it is."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import numpy as np

from contracts.batch import CandidateBatch, Column, f32
from contracts.funnel import Query
from contracts.models import Appeal

# The positive weights add up to 1, so that a score says "share of a perfect video". The negative ones
# are larger: a skip costs more than a click earns, and one "not interested" more than a like.
WEIGHTS: Final = MappingProxyType(
    {"p_click": 0.25, "p_complete": 0.45, "p_like": 0.3, "p_skip": -0.5, "p_not_interested": -3.0}
)


class ValueModel:
    """`score` = the bundle's learned appeal; without one, sum(weight x probability).

    When the ranker has no opinion on any row, an appeal is the sum of its other terms; without one
    the order is that of `fallback`.
    """

    name = "value_model"
    provides = (f32("score", np.nan),)

    def __init__(
        self, appeal: Appeal | None = None, weights: Mapping[str, float] = WEIGHTS
    ) -> None:
        self.appeal, self.weights = appeal, weights

    def score(self, query: Query, batch: CandidateBatch) -> Mapping[str, Column]:
        """Without an appeal, a row that the ranker has no opinion on ranks last."""
        if self.appeal is not None:
            return {"score": self.appeal.score(batch.columns, len(batch))}
        value = np.zeros(len(batch), np.float32)
        for head, weight in self.weights.items():
            value += np.float32(weight) * batch[head]
        return {"score": value if np.isfinite(value).any() else batch["fallback"]}
