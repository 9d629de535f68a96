"""A log folded as far as a query may look: the stream's own state, catalog and statistics.

What the pages of the log showed is counted in the statistics, as it would have been; what a person was
shown there is not hidden from them, since those pages were made by another engine.
"""

from pathlib import Path
from typing import Final

import numpy as np

from contracts.models import Bundle
from contracts.settings import Settings
from model_runtime.training.layout import IMPRESSIONS
from model_runtime.training.log import Log
from model_runtime.training.parts import find_parts
from model_runtime.training.replay import profiles_by_time
from model_runtime.training.shown import Shown, read_shown
from model_runtime.training.stream_state import StreamState

_STATS_EVERY_MS: Final = 60_000


def shown_in(folder: Path, log: Log) -> Shown | None:
    """The pages of a log's folder, None where it tells none."""
    return read_shown(folder, log) if find_parts(folder, IMPRESSIONS) else None


class FoldedLog:
    """Moves forward only. All videos are in the catalog from the beginning.

    Args:
        shown: the pages of the log, where it tells them.
    """

    def __init__(self, log: Log, bundle: Bundle, settings: Settings, shown: Shown | None) -> None:
        self.state = StreamState(bundle, log.users, log.videos, log.published, settings)
        self._log, self._shown = log, shown
        self._profiles = profiles_by_time(log, log.users)
        self._told = self._folded = self._counted = 0
        self._flushed_ms = -_STATS_EVERY_MS

    def to(self, rows: int, now_ms: int) -> None:
        """Fold the first `rows` rows, and what was told and shown before `now_ms`."""
        self._tell(now_ms)
        texts, new = self._log.queries, range(self._folded, rows)
        queries = {row - new.start: texts[row] for row in new if row in texts} if texts else {}
        self.state.fold(self._log.rows[new.start : new.stop], queries)
        self._folded = max(rows, self._folded)
        if now_ms - self._flushed_ms >= _STATS_EVERY_MS:
            self._flush(now_ms)

    def _tell(self, now_ms: int) -> None:
        while self._told < len(self._profiles) and self._profiles[self._told][0] <= now_ms:
            user = self._profiles[self._told][1]
            self.state.tell(user, self._log.profiles[self._log.users[user]])
            self._told += 1

    def _flush(self, now_ms: int) -> None:
        if self._shown is not None:
            shown = self._shown
            end = int(np.searchsorted(shown.at_ms, now_ms, "left"))
            new = slice(self._counted, max(end, self._counted))
            self.state.count_shown(shown.item[new], shown.at_ms[new])
            self._counted = new.stop
        self.state.flush()
        catalog = self.state.catalog
        self.state.board.refresh(
            now_ms, lambda ids: catalog.columns(catalog.rows_of(ids))["category"]
        )
        self._flushed_ms = now_ms
