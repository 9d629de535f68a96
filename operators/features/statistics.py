"""Counts and averages of a viewer: events by kind, mean watch time, mean watched share."""

from typing import Any, Final

import numpy as np

from contracts.batch import CandidateBatch, Column
from contracts.events import Action
from contracts.features import VIEWER_COLUMNS
from operators.features.protocol import Feature, Records, Round
from operators.signals import COMPLETE_SHARE

_SPEC: Final = {spec.name: spec for spec in VIEWER_COLUMNS}


def fold(records: Records, rounds: Round) -> None:
    """Count the event."""
    events = rounds.events
    action, share = events["action"], events["share"]
    watch, known = action == Action.WATCH, ~np.isnan(share)
    records["events"] += 1
    records["clicks"] += action == Action.CLICK
    records["likes"] += action == Action.LIKE
    records["skips"] += action == Action.SKIP
    records["watches"] += watch
    records["watch_ms_sum"] += np.where(watch, np.maximum(events["watch_ms"], 0), 0)
    records["shares"] += watch & known
    records["share_sum"] += np.where(watch & known, share, np.float32(0))
    records["completes"] += watch & known & (share >= COMPLETE_SHARE)


def _mean_share(state: Any, batch: CandidateBatch, now_ms: int, language: int) -> Column:
    n = int(state["shares"])
    return np.asarray(float(state["share_sum"]) / n if n else 0.5, np.float32)


FEATURES: Final = (Feature(_SPEC["mean_share"], _mean_share),)
