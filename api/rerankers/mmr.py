"""Maximal marginal relevance (Carbonell and Goldstein, 1998) on the videos' vectors."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from api.rerankers.standing import standing
from contracts.batch import CandidateBatch, Rows
from contracts.funnel import Query
from contracts.models import F32
from operators.catalog import Catalog
from operators.kernel import loose_kernel

_POOL: Final = 4  # rows looked at for each one picked


@dataclass(frozen=True, slots=True)
class Mmr:
    """Picks a page greedily: weight x standing - (1 - weight) x nearest cosine to what is picked."""

    catalog: Catalog
    weight: float
    name: str = "mmr"

    def rerank(self, query: Query, batch: CandidateBatch) -> Rows:
        """The page in the order of picking, then all others as they were."""
        vectors = self.catalog.vectors(batch["row"][: _POOL * query.limit])
        return mmr(standing(batch), vectors, query.limit, self.weight)


def mmr(
    relevance: NDArray[np.float32], vectors: NDArray[np.float32], picks: int, weight: float
) -> Rows:
    """Permutation of the n rows: `picks` of the first 4 x `picks` by MMR, then the rest in order.

    Args:
        relevance: (n,) float32.
        vectors: (m, d) float32, unit length, of at least the rows looked at; a zero row is similar
            to nothing.
    """
    pool = min(len(relevance), _POOL * picks)
    unit = np.ascontiguousarray(vectors[:pool], np.float32)
    return _picked(np.ascontiguousarray(relevance, np.float32), unit, min(picks, pool), weight)


@loose_kernel
def _picked(relevance: F32, unit: F32, picks: int, weight: float) -> Rows:
    pool, order = len(unit), np.arange(len(relevance))
    left, nearest = np.ones(pool, np.bool_), np.zeros(pool, np.float32)
    gain, share = np.float32(weight), np.float32(1 - weight)
    for turn in range(picks):
        best, row = np.float32(-np.inf), -1
        for i in range(pool):
            worth = gain * relevance[i] - share * nearest[i]
            if left[i] and (row < 0 or worth > best):
                best, row = worth, i
        order[turn], left[row] = row, False
        for i in range(pool):
            near = np.float32(0)
            for j in range(unit.shape[1]):
                near += unit[i, j] * unit[row, j]
            nearest[i] = max(nearest[i], near)
    order[picks:pool] = np.flatnonzero(left)
    return order
