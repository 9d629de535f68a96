"""Videos that nobody can know yet: the newest, and a random draw of those hardly shown."""

from dataclasses import dataclass

import numpy as np

from api.sources.reach import reach, remembered, unseen, unserved
from contracts.batch import Ids
from contracts.funnel import Query
from operators.catalog import Catalog
from operators.stats_board import StatsBoard


@dataclass(frozen=True, slots=True)
class Fresh:
    """The newest videos. Also the last rung: it needs nothing but the catalog."""

    catalog: Catalog
    n: int
    shown_for_h: float
    name: str = "fresh"

    def enabled(self, query: Query) -> bool:
        """Always."""
        return True

    def retrieve(self, query: Query) -> Ids:
        """At most `n` ids, newest first; more when the page or earlier pages need more."""
        n = max(self.n, 2 * query.limit)
        ids = unserved(query, self.catalog.newest(reach(query, n)), n)
        if len(unseen(query, ids, self.shown_for_h)) >= query.limit:
            return ids
        # Who scrolls on and watches nothing has no vector to be asked by: this is all that is left.
        further = self.catalog.newest(n + len(query.served) + remembered(query))
        return unserved(query, unseen(query, further, self.shown_for_h), n)


@dataclass(frozen=True, slots=True)
class Explore:
    """A random draw among the newest `pool` videos of those with too few impressions to judge."""

    catalog: Catalog
    board: StatsBoard
    n: int
    below_impressions: float
    pool: int = 256
    name: str = "explore"

    def enabled(self, query: Query) -> bool:
        """Always."""
        return True

    def retrieve(self, query: Query) -> Ids:
        """At most `n` ids; the same request draws the same."""
        newest = unserved(query, self.catalog.newest(self.pool + len(query.served)), self.pool)
        shown = self.board.counts(newest, query.now_ms)[:, 0]
        candidates = newest[shown < self.below_impressions]
        order = np.random.default_rng(query.seed).permutation(len(candidates))
        return candidates[order[: self.n]]
