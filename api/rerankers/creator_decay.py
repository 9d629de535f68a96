"""The more of a creator stands before a video, the less it is worth."""

from dataclasses import dataclass

import numpy as np

from api.rerankers.standing import standing
from contracts.batch import CandidateBatch, Rows, nth_in_group, rank_desc
from contracts.funnel import Query


@dataclass(frozen=True, slots=True)
class CreatorDecay:
    """Multiplies the standing of the n-th video of a creator by rate**n."""

    rate: float = 0.7
    name: str = "creator_decay"

    def rerank(self, query: Query, batch: CandidateBatch) -> Rows:
        """Videos without a creator are nobody's, and keep their standing."""
        creator = batch["creator"]
        nth = np.where(creator == 0, 0, nth_in_group(creator))
        worth = np.float32(self.rate) ** np.arange(nth.max(initial=0) + 1, dtype=np.float32)
        return rank_desc(standing(batch) * worth[nth])
