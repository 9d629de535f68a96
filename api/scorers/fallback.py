"""The order without a ranker: near to the viewer, liked by others, and new."""

from collections.abc import Mapping

import numpy as np

from contracts.batch import CandidateBatch, Column, f32
from contracts.funnel import Query


class Fallback:
    """`fallback`: a fixed blend of columns that need no model; always computed, it costs 20 us."""

    name = "fallback"
    provides = (f32("fallback"),)

    def score(self, query: Query, batch: CandidateBatch) -> Mapping[str, Column]:
        """About -1 to 1, finite for finite columns."""
        liked = batch["ctr"] + batch["complete_rate"] - batch["skip_rate"]
        new = np.exp2(-batch["age_hours"] / np.float32(24 * 7))
        same_language = batch["language_match"] - np.float32(0.5)
        return {"fallback": 0.6 * batch["cosine"] + 0.2 * liked + 0.1 * new + 0.1 * same_language}
