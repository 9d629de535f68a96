"""How others reacted to each candidate: decayed rates, and how much it is watched right now."""

from collections.abc import Mapping

import numpy as np

from contracts.batch import CandidateBatch, Column, f32
from contracts.features import RATE_COLUMNS
from contracts.funnel import Query
from operators.stats_board import StatsBoard


class Rates:
    """`impressions` and the smoothed rates."""

    name = "rates"
    provides = RATE_COLUMNS

    def __init__(self, board: StatsBoard) -> None:
        self.board = board

    async def hydrate(self, query: Query, batch: CandidateBatch) -> Mapping[str, Column]:
        """The prior where nothing is known."""
        return self.board.rates(batch.ids, query.now_ms)


class Trend:
    """`trend`: the weight in one trending list, 0 when not on it.

    The list is the world's (`world`), or that of the country and category that the request names.
    """

    name = "trend"
    provides = (f32("trend"),)

    def __init__(self, board: StatsBoard, n: int, world: bool = False) -> None:
        self.board, self.n, self.world = board, n, world

    async def hydrate(self, query: Query, batch: CandidateBatch) -> Mapping[str, Column]:
        """Looked up by id, so the order of rows does not matter."""
        n = max(self.n, query.limit) + len(query.served)
        country, category = (0, 0) if self.world else (query.country, query.category)
        ids, weights = self.board.trending(country, category, n)
        trend = np.zeros(len(batch), np.float32)
        if len(ids):
            order = np.argsort(ids)
            at = np.minimum(np.searchsorted(ids[order], batch.ids), len(ids) - 1)
            found = ids[order][at] == batch.ids
            trend[found] = weights[order][at][found]
        return {"trend": trend}
