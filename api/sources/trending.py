"""What many people watch right now: in the world, in the viewer's country, in their categories."""

from dataclasses import dataclass

import numpy as np

from api.sources.reach import distinct, reach, unserved
from contracts.batch import Ids
from contracts.funnel import Query
from operators.features.affinities import table
from operators.stats_board import StatsBoard


@dataclass(frozen=True, slots=True)
class Trending:
    """A mix: 2 parts the world, 2 parts the country, 1 part each of the two strongest categories."""

    board: StatsBoard
    n: int
    name: str = "trending"

    def enabled(self, query: Query) -> bool:
        """Always: it is what a person gets of whom nothing is known."""
        return True

    def retrieve(self, query: Query) -> Ids:
        """At most `n` ids."""
        wanted = reach(query, self.n)
        lists = [(0, 0, 2)]
        if query.country:
            lists.append((query.country, 0, 2))
        lists += [(0, category, 1) for category in strongest_categories(query, 2)]
        share = wanted / sum(parts for *_, parts in lists)
        found = [
            self.board.trending(country, category, max(1, int(share * parts)))[0]
            for country, category, parts in lists
        ]
        return unserved(query, distinct(np.concatenate(found)), self.n)


@dataclass(frozen=True, slots=True)
class TrendingOf:
    """The one list that the request names: its country, its category, both or neither."""

    board: StatsBoard
    n: int
    name: str = "trending"

    def enabled(self, query: Query) -> bool:
        """Always."""
        return True

    def retrieve(self, query: Query) -> Ids:
        """At most `n` ids, or as many as the page needs; strongest first."""
        n = max(self.n, query.limit) + len(query.served)
        ids, _ = self.board.trending(query.country, query.category, n)
        return unserved(query, ids, n)


def strongest_categories(query: Query, n: int) -> list[int]:
    """The viewer's `n` categories of largest positive affinity."""
    if query.state is None:
        return []
    keys, values = table(query.state, "category")
    return [int(key) for key in keys[values > 0][:n]]
