"""Videos that somebody paid for. They pass the same filters and scores as all others."""

from dataclasses import dataclass, field

import numpy as np

from api.sources.reach import unserved
from contracts.batch import Ids
from contracts.funnel import Query
from operators.catalog import Catalog


@dataclass(frozen=True, slots=True)
class Sponsored:
    """The sponsored among the newest `pool` videos, looked for again every `refresh_ms`."""

    catalog: Catalog
    n: int = 10
    pool: int = 5000
    refresh_ms: int = 5000
    name: str = "sponsored"
    _found: list[tuple[int, Ids]] = field(default_factory=list, compare=False)

    def enabled(self, query: Query) -> bool:
        """Always."""
        return True

    def retrieve(self, query: Query) -> Ids:
        """At most `n` ids, newest first."""
        if not self._found or query.now_ms - self._found[0][0] >= self.refresh_ms:
            self._found[:] = [(query.now_ms, self._scan())]
        return unserved(query, self._found[0][1], self.n)

    def _scan(self) -> Ids:
        ids = self.catalog.newest(self.pool)
        rows = self.catalog.rows_of(ids)
        known = rows >= 0
        return ids[known][np.asarray(self.catalog.columns(rows[known])["sponsored"], np.bool_)]
