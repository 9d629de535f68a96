"""Retrieval through the real index, as a recommender: what the approximation loses of the exact search."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from contracts.models import Bundle
from contracts.settings import Settings
from index_updater.live_index import LiveIndex
from model_runtime.evaluation.queries import Queries
from model_runtime.evaluation.towers import Towers
from model_runtime.evaluation.world import World

_WANTED: Final = 500


class ThroughIndex:
    """The towers of a bundle, asked through `LiveIndex` for the nearest 500 that a person has not met.

    Videos are scored by the index's own distances; what it does not find has no score.
    """

    def __init__(self, bundle: Bundle, settings: Settings) -> None:
        self._towers, self._dim, self._settings = Towers(bundle), bundle.items.dim, settings
        self.name = f"index {bundle.id}"

    def prepare(self, world: World, queries: Queries, learned: NDArray[np.bool_]) -> None:
        """Step the states, and fill the index with every video that has a vector."""
        self._towers.prepare(world, queries, learned)
        self._index = LiveIndex(self._dim, self._settings.index)
        filled = np.flatnonzero(self._towers.vectors.any(axis=1))
        self._index.upsert(filled + 1, self._towers.vectors[filled])  # 0 is no video
        while self._index.maintain():
            pass
        self._videos = world.videos

    def scores(self, queries: Queries) -> NDArray[np.float32]:
        """(q, m), NaN where the index found nothing; all alike for people without a vector."""
        out = np.full((len(queries), self._videos), np.nan, np.float32)
        for row, vector, seen in zip(
            out, self._towers.people(queries), queries.seen.tolist(), strict=True
        ):
            if not vector.any():
                row[:] = 0
            else:
                found, near = self._index.search(vector, min(_WANTED + seen, self._videos))
                row[found - 1] = near
        return out
