"""New videos a little earlier; the boost halves every week."""

from dataclasses import dataclass

import numpy as np

from api.rerankers.standing import standing
from contracts.batch import CandidateBatch, Rows, rank_desc
from contracts.funnel import Query
from operators.features.candidate import age_hours


@dataclass(frozen=True, slots=True)
class FreshnessBoost:
    """A video published now is worth `most` more than it would be.

    A share of its own worth: where scores are probabilities, and fall steeply, a part of the span from
    the best to the worst would lift any new video over nearly all others.
    """

    half_life_d: float
    most: float = 0.15
    name: str = "freshness_boost"

    def rerank(self, query: Query, batch: CandidateBatch) -> Rows:
        """By standing, boosted."""
        days = age_hours(batch["published_ms"], query.now_ms) / np.float32(24)
        boost = np.float32(self.most) * np.exp2(-days / np.float32(self.half_life_d))
        return rank_desc(standing(batch) * (1 + boost))
