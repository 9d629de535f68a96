"""Counts and averages of a viewer: events by kind, mean watch time, mean watched share."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from contracts.batch import CandidateBatch, Column
from contracts.events import Action
from contracts.features import VIEWER_COLUMNS
from operators.features.protocol import Asked, Feature, LiveEvents, Records
from operators.kernel import kernel
from operators.signals import COMPLETE_SHARE

CLICK, WATCH = int(Action.CLICK), int(Action.WATCH)  # a kernel knows plain numbers
LIKE, SKIP = int(Action.LIKE), int(Action.SKIP)
FIELDS: Final = [
    "events", "watches", "shares", "share_sum", "watch_ms_sum", "clicks", "completes", "likes",
    "skips",
]  # fmt: skip
_SPEC: Final = {spec.name: spec for spec in VIEWER_COLUMNS}


def fold(records: Records, events: LiveEvents) -> None:
    """Count the event."""
    _fold(records[FIELDS], events.rows)


@kernel
def _fold(records: Records, events: NDArray[Any]) -> None:
    for e in events:
        r = records[e.user]
        r.events += 1
        if e.action == CLICK:
            r.clicks += 1
        elif e.action == LIKE:
            r.likes += 1
        elif e.action == SKIP:
            r.skips += 1
        elif e.action == WATCH:
            r.watches += 1
            r.watch_ms_sum += max(e.watch_ms, 0)
            if not np.isnan(e.share):
                r.shares += 1
                r.share_sum += e.share
                r.completes += e.share >= COMPLETE_SHARE


def _mean_share(state: Any, batch: CandidateBatch, asked: Asked) -> Column:
    n = int(state["shares"])
    return np.asarray(float(state["share_sum"]) / n if n else 0.5, np.float32)


FEATURES: Final = (Feature(_SPEC["mean_share"], _mean_share),)
