"""What was shown, as a ranker saw it then, and what came of it.

Columns are as of the moment of the impression: a fold stands between what was before it and what
came after, so nothing of the future gets in.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from contracts.batch import Column
from contracts.errors import DatasetError
from contracts.features import FEATURE_COLUMNS, VIDEO_COLUMNS
from contracts.models import Bundle
from contracts.settings import Settings
from model_runtime.training.log import Log
from model_runtime.training.outcomes import Outcomes, outcomes
from model_runtime.training.replay import Replay, pages
from model_runtime.training.shown import Shown, read_shown
from model_runtime.training.stream_state import StreamState

STATS_EVERY_MS: Final = 60_000


@dataclass(frozen=True, slots=True, eq=False)
class Examples:
    """n videos that were shown, by time.

    Attributes:
        shown: to whom, when, where on the page.
        columns: name of `contracts.features` -> (n, ...) value at that moment.
        outcomes: what came of each.
    """

    shown: Shown
    columns: dict[str, Column]
    outcomes: Outcomes

    def __len__(self) -> int:
        return len(self.shown.item)


def read_examples(
    folder: Path,
    log: Log,
    bundle: Bundle,
    settings: Settings | None = None,
    stats_every_ms: int = STATS_EVERY_MS,
) -> Examples:
    """Replay a log through the stream's folds, and note the columns of each impression on the way.

    Args:
        log: of the same folder.
        stats_every_ms: how old the rates may be that an impression sees; the engine flushes every
            three seconds, and each flush costs about a millisecond here.

    Raises:
        DatasetError: there are no impressions, or the log's clock only says the order.
    """
    shown = shown_in(folder, log)
    state = StreamState(bundle, shown.users, log.videos, log.published, settings or Settings())
    columns = {
        spec.name: np.zeros((len(shown.item), *spec.shape), spec.dtype)
        for spec in (*VIDEO_COLUMNS, *FEATURE_COLUMNS)
    }
    replay = Replay(state, log, shown, stats_every_ms)
    for page in pages(shown):
        values = replay.columns(page)
        for name, column in columns.items():
            column[page] = values[name]
    return Examples(shown, columns, outcomes(log, shown))


def shown_in(folder: Path, log: Log) -> Shown:
    """What was shown, if a ranker can learn from it.

    Raises:
        DatasetError: there are no impressions, or the log's clock only says the order.
    """
    if log.about.clock == "order":
        raise DatasetError(f"{log.about.name} has no times: columns as of a moment need them")
    shown = read_shown(folder, log)
    if shown.left_out and not len(shown.item):
        raise DatasetError(
            f"{folder}: none of the {shown.left_out:,} videos that were shown is among its videos or events"
        )
    if not len(shown.item):
        raise DatasetError(f"{folder} has no impressions: a ranker learns from what was shown")
    return shown
