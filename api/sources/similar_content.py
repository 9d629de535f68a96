"""Videos whose content is near to single videos: what was just liked, or the anchor."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from api.sources.reach import distinct, reach, unserved
from contracts.batch import Ids
from contracts.funnel import Query
from contracts.models import F32
from index_updater.live_index import LiveIndex
from operators.catalog import Catalog
from operators.features.history import liked_videos

# The neighbourhood of a video is dense: an effort of 1 for each one wanted finds 0.97 of the best of a
# million, in 0.13 ms; a viewer's vector, which lies between clusters, takes ten times as much.
_EFFORT: Final = 1
_LEAST_EFFORT: Final = 60


@dataclass(frozen=True, slots=True)
class SimilarContent:
    """Nearest neighbours of each of the last `recent` liked videos, in turn.

    The viewer's vector is a mean: between two tastes it may be near to neither. This source is not.
    """

    index: LiveIndex
    catalog: Catalog
    n: int
    recent: int = 2
    name: str = "similar_content"

    def enabled(self, query: Query) -> bool:
        """Needs a history."""
        return query.state is not None

    def retrieve(self, query: Query) -> Ids:
        """At most `n` ids: the best of each liked video, then the second best of each."""
        liked, _ = liked_videos(query.state, self.recent)
        vectors = known_vectors(self.catalog, liked)
        if not len(vectors):
            return np.empty(0, np.int64)
        k = reach(query, self.n) // len(vectors) + 1
        found = _search_each(self.index, vectors, k)
        return unserved(query, found, self.n)


@dataclass(frozen=True, slots=True)
class AnchorContent:
    """Nearest neighbours of the video that the request is about."""

    index: LiveIndex
    catalog: Catalog
    n: int
    name: str = "similar_content"

    def enabled(self, query: Query) -> bool:
        """Needs an anchor."""
        return query.anchor != 0

    def retrieve(self, query: Query) -> Ids:
        """About `n` ids by falling cosine."""
        vectors = known_vectors(self.catalog, np.array([query.anchor], np.int64))
        if not len(vectors):
            return np.empty(0, np.int64)
        found = _search_each(self.index, vectors, reach(query, self.n) + 1)
        return unserved(query, found, self.n + len(found))


def known_vectors(catalog: Catalog, ids: Ids) -> F32:
    """(m, d) vectors of those of `ids` that the catalog knows."""
    rows = catalog.rows_of(ids)
    return catalog.vectors(rows[rows >= 0])


def _search_each(index: LiveIndex, vectors: F32, k: int) -> NDArray[np.int64]:
    effort = max(_EFFORT * k, _LEAST_EFFORT)
    lists = [index.search(vector, k, effort)[0] for vector in vectors]
    longest = max(map(len, lists))
    turns = np.full((longest, len(lists)), 0, np.int64)
    for column, ids in enumerate(lists):
        turns[: len(ids), column] = ids
    flat = turns.ravel()
    return distinct(flat[flat != 0])
