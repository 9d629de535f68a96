"""The newest videos of creators whom the viewer follows, or of the anchor's creator."""

from dataclasses import dataclass

import numpy as np

from api.sources.reach import reach, unserved
from contracts.batch import Ids
from contracts.funnel import Query
from operators.catalog import Catalog
from operators.features.follows import followed


@dataclass(frozen=True, slots=True)
class Followed:
    """What followed creators published last."""

    catalog: Catalog
    n: int
    name: str = "followed"

    def enabled(self, query: Query) -> bool:
        """Needs somebody who follows somebody."""
        return query.state is not None and len(followed(query.state)) > 0

    def retrieve(self, query: Query) -> Ids:
        """At most `n` ids."""
        found = self.catalog.by_creators(followed(query.state), reach(query, self.n))
        return unserved(query, found, self.n)


@dataclass(frozen=True, slots=True)
class SameCreator:
    """What the anchor's creator published last."""

    catalog: Catalog
    n: int
    name: str = "same_creator"

    def enabled(self, query: Query) -> bool:
        """Needs an anchor."""
        return query.anchor != 0

    def retrieve(self, query: Query) -> Ids:
        """At most `n` ids."""
        rows = self.catalog.rows_of(np.array([query.anchor], np.int64))
        creators = self.catalog.columns(rows[rows >= 0])["creator"]
        found = self.catalog.by_creators(creators[creators != 0], reach(query, self.n))
        return unserved(query, found, self.n)
