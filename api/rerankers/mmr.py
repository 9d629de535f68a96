"""Maximal marginal relevance (Carbonell and Goldstein, 1998) on the videos' vectors."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from api.rerankers.standing import standing
from contracts.batch import CandidateBatch, Rows
from contracts.funnel import Query
from operators.catalog import Catalog

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
    n = len(relevance)
    pool = min(n, _POOL * picks)
    unit = np.ascontiguousarray(vectors[:pool])
    base = (np.float32(weight) * relevance[:pool]).astype(np.float32)
    share = np.float32(1 - weight)
    nearest = np.zeros(pool, np.float32)
    picked: list[int] = []
    for _ in range(min(picks, pool)):
        row = int(np.argmax(base - share * nearest))
        picked.append(row)
        base[row] = -np.inf
        np.maximum(nearest, unit @ unit[row], out=nearest)
    rest = np.ones(n, np.bool_)
    rest[picked] = False
    return np.concatenate([np.array(picked, np.intp), np.flatnonzero(rest)])
