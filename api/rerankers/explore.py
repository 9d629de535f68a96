"""Some places of each page go to videos of which too little is known, drawn at random.

The draw is a scorer (it belongs to rows), the placing a re-ranker (it belongs to the slate). The
probability of each draw is served as a column and logged with the impression, so that what was
learned from these places can be weighted right.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contracts.batch import CandidateBatch, Column, Ids, Rows, f32
from contracts.funnel import Query


@dataclass(frozen=True, slots=True)
class ExploreDraw:
    """`explore_key`: a random number for each row with too few impressions, NaN for all others.

    `explore_share` is the probability of any of them to be drawn for any one place: 1 / how many.
    """

    below_impressions: float
    name: str = "explore_draw"
    provides = (f32("explore_key", np.nan), f32("explore_share"))

    def score(self, query: Query, batch: CandidateBatch) -> Mapping[str, Column]:
        """The key is a hash of id and seed, so it does not depend on which rows stand beside it."""
        eligible = batch["impressions"] < self.below_impressions
        share = 1.0 / max(int(np.count_nonzero(eligible)), 1)
        return {
            "explore_key": np.where(eligible, uniform(batch.ids, query.seed), np.float32(np.nan)),
            "explore_share": np.where(eligible, np.float32(share), np.float32(0)),
        }


@dataclass(frozen=True, slots=True)
class ExploreSlots:
    """Gives the middle place of every `every` to the row of the next largest key. Comes last."""

    every: int
    name: str = "explore_slots"

    def rerank(self, query: Query, batch: CandidateBatch) -> Rows:
        """As many places as there are eligible rows; everything else keeps its order."""
        key = batch["explore_key"]
        places = np.arange(self.every // 2 - 1, len(batch), self.every)
        drawn = np.argsort(-key, kind="stable")[: np.count_nonzero(~np.isnan(key))][: len(places)]
        rest = np.ones(len(batch), np.bool_)
        rest[drawn] = False
        order = np.empty(len(batch), np.intp)
        taken = np.zeros(len(batch), np.bool_)
        taken[places[: len(drawn)]] = True
        order[taken], order[~taken] = drawn, np.flatnonzero(rest)
        return order


def propensities(batch: CandidateBatch, every: int) -> NDArray[np.float32]:
    """(n,) probability with which each row of a page came to its place; 1 where nothing was drawn."""
    out = np.ones(len(batch), np.float32)
    if "explore_key" in batch.columns:
        places = np.arange(every // 2 - 1, len(batch), every)
        drawn = places[~np.isnan(batch["explore_key"][places])]
        out[drawn] = batch["explore_share"][drawn]
    return out


def uniform(ids: Ids, seed: int) -> NDArray[np.float32]:
    """(n,) float32 in [0, 1): the splitmix64 finaliser of id + seed (Steele et al., 2014)."""
    x = ids.view(np.uint64) + np.uint64(seed & 0xFFFF_FFFF_FFFF_FFFF)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    x ^= x >> np.uint64(31)
    return (x >> np.uint64(40)).astype(np.float32) / np.float32(1 << 24)
