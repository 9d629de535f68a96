"""What a recommender says to somebody of whom it knows nothing: the charts, as any feed would."""

import numpy as np
from numpy.typing import NDArray

from model_runtime.evaluation.queries import Queries
from model_runtime.evaluation.ranking import Recommender
from model_runtime.evaluation.world import World


class OrCharts:
    """A recommender, and another for the people whose scores are all alike.

    Every personal recommender is measured with the same charts behind it, so that none of them is
    told apart by what it does not know.
    """

    def __init__(self, first: Recommender, charts: Recommender) -> None:
        self._first, self._charts = first, charts
        self.name = first.name

    def prepare(self, world: World, queries: Queries, learned: NDArray[np.bool_]) -> None:
        """Both."""
        self._first.prepare(world, queries, learned)
        self._charts.prepare(world, queries, learned)

    def scores(self, queries: Queries) -> NDArray[np.float32]:
        """(q, m), the charts' where the first has no opinion."""
        scores, charts = self._first.scores(queries), self._charts.scores(queries)
        alike = (scores == scores[:, :1]).all(axis=1)
        return np.where(alike[:, None], charts, scores)
