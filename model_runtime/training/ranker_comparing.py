"""The trained ranker beside LightGBM on the test: the same rows, the same columns, intervals of both."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from contracts.batch import CandidateBatch
from model_runtime.learned_ranker import LearnedRanker
from model_runtime.ranker_form import PROBABILITIES
from model_runtime.training.config import Rank
from model_runtime.training.ranker_measures import (
    Interval,
    calibration_error,
    concordance_intervals,
    intervals,
)
from model_runtime.training.ranker_model import RankerModel
from model_runtime.training.ranker_result import logits
from model_runtime.training.ranker_rows import Rows
from model_runtime.training.ranker_trees import trees
from model_runtime.watch_time import wanted

F64 = NDArray[np.floating[Any]]
RANKER, TREES = "ranker", "trees"


def compared(
    rank: Rank, seed: int, bare: LearnedRanker, ranker: LearnedRanker, model: RankerModel,
    parts: tuple[Rows, Rows, Rows],
) -> dict[str, dict[str, Any]]:  # fmt: skip
    """Head -> positives, AUC and its differences with intervals, calibration before and after.

    `auc` is of what serves: the place of what was shown is unknown to both. `auc_with_place`: both are
    told it. Of `watch_s` it is the concordance (Harrell's C) of how long people would stay: pairs
    whose shorter watch was cut off by the video's end say nothing about that, and are left out.

    Args:
        bare: before calibration; ranker: after it.
    """
    test = parts[2]
    batch = CandidateBatch(np.arange(len(test)), np.zeros(len(test), np.uint32), test.columns)
    served, raw = ranker.predict(batch), logits(bare, test)
    with torch.no_grad():
        placed = raw + model.place(test.place).numpy()
    grown = _grown(rank, seed, parts)
    out: dict[str, dict[str, Any]] = {}
    for i, name in enumerate(PROBABILITIES):
        positive = test.targets.labels[:, i] > 0
        one: dict[str, Any] = {"positives": int(positive.sum())}
        for key, own, place in (
            ("auc", served[name], False),
            ("auc_with_place", placed[:, i], True),
        ):
            scores = {RANKER: own} | ({TREES: grown[place][name]} if name in grown[place] else {})
            one[key] = _told(intervals(positive, scores, test.person, seed))
        own = 1 / (1 + np.exp(-raw[:, i].astype(np.float64)))
        one["calibration_error_before"] = calibration_error(positive, own)
        one["calibration_error"] = calibration_error(positive, served[name])
        if name in grown[False]:
            one["calibration_error_trees"] = calibration_error(positive, grown[False][name])
        out[name] = one
    hazards = 1 / (1 + np.exp(-raw[:, len(PROBABILITIES) :].astype(np.float64)))
    stays: dict[str, F64] = {RANKER: wanted(bare.weights["watch_edges_s"], hazards)}
    if "watch_s" in grown[False]:
        stays[TREES] = grown[False]["watch_s"]
    of = test.targets
    stays["as served"] = served["watch_s"]
    told = concordance_intervals(of.watched_s, of.ended, stays, test.person, seed)
    out["watch_s"] = {"auc": _told(told)}
    return out


def _grown(rank: Rank, seed: int, parts: tuple[Rows, Rows, Rows]) -> dict[bool, dict[str, F64]]:
    """Predictions of the trees for the test, without and with the place."""
    if not rank.trees:
        return {False: {}, True: {}}
    return {
        place: {name: p[1] for name, p in trees(*parts, rank.form, seed, place).items()}
        for place in (False, True)
    }


def _told(found: dict[str, Interval]) -> dict[str, tuple[float, float, float]]:
    return {name: (one.value, one.low, one.high) for name, one in found.items()}
