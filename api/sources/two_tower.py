"""Videos whose vector is nearest to the viewer's."""

from dataclasses import dataclass

import numpy as np

from api.sources.reach import reach, unserved
from contracts.batch import Ids
from contracts.funnel import Query
from index_updater.live_index import LiveIndex


@dataclass(frozen=True, slots=True)
class TwoTower:
    """Approximate nearest neighbours of `query.embedding`."""

    index: LiveIndex
    n: int
    name: str = "two_tower"

    def enabled(self, query: Query) -> bool:
        """Needs a vector: somebody of whom something is known."""
        return query.embedding is not None

    def retrieve(self, query: Query) -> Ids:
        """About `n` ids by falling cosine."""
        if query.embedding is None:
            return np.empty(0, np.int64)
        ids, _ = self.index.search(query.embedding, reach(query, self.n))
        return unserved(query, ids, self.n + len(ids))
