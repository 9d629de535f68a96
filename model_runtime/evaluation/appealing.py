"""A bundle's whole appeal over all videos, as a recommender: what a funnel that misses none would order."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from contracts.batch import CandidateBatch, Column
from contracts.errors import BundleError
from contracts.models import Appeal, Bundle
from contracts.settings import Settings
from model_runtime.evaluation.folded import FoldedLog, shown_in
from model_runtime.evaluation.queries import Queries
from model_runtime.evaluation.world import World

_SURFACE: Final = "home"  # of a request that names none; a log's queries do not


class Appealing:
    """Scores every video with the columns that the funnel would give it; state as of the query.

    Args:
        folder: of the log, whose pages are counted where it tells them.

    Raises:
        BundleError: the bundle has learned no appeal.
    """

    def __init__(self, bundle: Bundle, settings: Settings, folder: Path | None = None) -> None:
        if bundle.appeal is None:
            raise BundleError(f"bundle {bundle.id!r} has learned no appeal")
        self._bundle, self._settings, self._folder = bundle, settings, folder
        self._appeal: Appeal = bundle.appeal
        self.name = f"appeal {bundle.id}"

    def prepare(self, world: World, queries: Queries, learned: NDArray[np.bool_]) -> None:
        """Begin the fold anew."""
        shown = shown_in(self._folder, world.log) if self._folder else None
        self._folded = FoldedLog(world.log, self._bundle, self._settings, shown)
        self._items = np.arange(world.videos)

    def scores(self, queries: Queries) -> NDArray[np.float32]:
        """(q, m)."""
        out = np.empty((len(queries), len(self._items)), np.float32)
        asked = zip(
            queries.user.tolist(), queries.at_ms.tolist(), queries.rows.tolist(), strict=True
        )
        for i, (user, at_ms, rows) in enumerate(asked):
            self._folded.to(rows, at_ms)
            columns = seen(
                self._folded, self._bundle, self._appeal.reads_heads, user, self._items, at_ms
            )
            out[i] = self._appeal.score(columns, len(self._items))
        return out


def seen(
    folded: FoldedLog, bundle: Bundle, heads: bool, user: int, items: NDArray[np.intp], now_ms: int
) -> Mapping[str, Column]:
    """The columns of videos beside a person, and what the ranker makes of them if asked to."""
    columns = folded.state.columns(user, items, now_ms, _SURFACE)
    if not heads:
        return columns
    batch = CandidateBatch(folded.state.ids[items], np.zeros(len(items), np.uint32), columns)
    return {**columns, **bundle.ranker.predict(batch)}
