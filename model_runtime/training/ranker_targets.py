"""What each head is to say of what was shown."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contracts.models import F32
from model_runtime.ranker_form import PROBABILITIES
from model_runtime.training.outcomes import Outcomes
from model_runtime.watch_time import ENDED_SHARE


@dataclass(frozen=True, slots=True, eq=False)
class Targets:
    """Of n shown videos.

    Attributes:
        labels: (n, 5) float32 in the order of `PROBABILITIES`, 1 or 0.
        watched_s: (n,) float32, 0 for what was not opened, NaN where nothing tells it.
        ended: (n,) the video was over then: who watched might have watched longer.
    """

    labels: F32
    watched_s: F32
    ended: NDArray[np.bool_]


def targets(came: Outcomes, duration_ms: NDArray[np.int32], long_watch_s: float) -> Targets:
    """The heads' answers to what came of each row.

    `p_complete` is a video watched to nine tenths, or for `long_watch_s`; `p_skip` one given up
    within ten seconds, or refused.
    """
    told = came.watch_ms >= 0
    seconds = np.where(told, came.watch_ms / 1000, np.where(came.click, np.nan, 0))
    whole = np.where(duration_ms > 0, duration_ms, np.inf)
    long = told & (came.watch_ms >= (long_watch_s * 1000 or np.inf))
    heads = {
        "p_click": came.click, "p_complete": came.complete | long, "p_like": came.like,
        "p_skip": came.skip | came.not_interested, "p_not_interested": came.not_interested,
    }  # fmt: skip
    labels = np.stack([heads[name] for name in PROBABILITIES], axis=1).astype(np.float32)
    return Targets(
        labels, seconds.astype(np.float32), told & (came.watch_ms >= ENDED_SHARE * whole)
    )
