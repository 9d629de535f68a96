"""Scores of the funnels that need no model: similar, trending and static."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from contracts.batch import CandidateBatch, Column, f32
from contracts.funnel import Query
from operators.features.candidate import age_hours


@dataclass(frozen=True, slots=True)
class Similarity:
    """`score`: nearness to the anchor, more for its co-watch neighbours, a little for its quality.

    Attributes:
        neighbours_bit: provenance bit of the co-watch source.
    """

    neighbours_bit: int
    name: str = "similarity"
    provides = (f32("score"),)

    def score(self, query: Query, batch: CandidateBatch) -> Mapping[str, Column]:
        """About -1 to 1."""
        together = (batch.sources >> np.uint32(self.neighbours_bit) & 1).astype(np.float32)
        liked = batch["ctr"] + batch["complete_rate"] - batch["skip_rate"]
        return {"score": 0.7 * batch["anchor_cosine"] + 0.2 * together + 0.1 * liked}


@dataclass(frozen=True, slots=True)
class ByTrend:
    """`score`: how much a video is watched right now."""

    name: str = "by_trend"
    provides = (f32("score"),)

    def score(self, query: Query, batch: CandidateBatch) -> Mapping[str, Column]:
        """The trending list's own weight."""
        return {"score": batch["trend"]}


@dataclass(frozen=True, slots=True)
class ByAge:
    """`score`: newest first, halved every `half_life_d` days."""

    half_life_d: float
    name: str = "by_age"
    provides = (f32("score"),)

    def score(self, query: Query, batch: CandidateBatch) -> Mapping[str, Column]:
        """In (0, 1]."""
        days = age_hours(batch["published_ms"], query.now_ms) / np.float32(24)
        return {"score": np.exp2(-days / np.float32(self.half_life_d))}
