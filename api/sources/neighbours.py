"""Videos that others watched in the same sessions as what this viewer liked, or as the anchor."""

from dataclasses import dataclass

import numpy as np

from api.sources.reach import reach, unserved
from contracts.batch import Ids
from contracts.funnel import Query
from operators.features.history import liked_videos
from operators.stats_board import StatsBoard


@dataclass(frozen=True, slots=True)
class Neighbours:
    """Mixed co-watch neighbours of the viewer's last `recent` positives."""

    board: StatsBoard
    n: int
    recent: int = 20
    name: str = "neighbours"

    def enabled(self, query: Query) -> bool:
        """Needs a history."""
        return query.state is not None

    def retrieve(self, query: Query) -> Ids:
        """At most `n` ids, strongest first."""
        ids, weights = liked_videos(query.state, self.recent)
        if not len(ids):
            return ids
        found, _ = self.board.neighbours(ids, weights, reach(query, self.n))
        return unserved(query, found, self.n)


@dataclass(frozen=True, slots=True)
class AnchorNeighbours:
    """Co-watch neighbours of the video that the request is about."""

    board: StatsBoard
    n: int
    name: str = "neighbours"

    def enabled(self, query: Query) -> bool:
        """Needs an anchor."""
        return query.anchor != 0

    def retrieve(self, query: Query) -> Ids:
        """At most `n` ids, strongest first."""
        anchor = np.array([query.anchor], np.int64)
        found, _ = self.board.neighbours(anchor, np.ones(1, np.float32), reach(query, self.n))
        return unserved(query, found, self.n)
