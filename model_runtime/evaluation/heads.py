"""A bundle's ranker against what came of the videos that were shown."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from contracts.batch import CandidateBatch
from contracts.models import Ranker
from model_runtime.evaluation.metrics import auc, calibration_error
from model_runtime.evaluation.results import Head
from model_runtime.training.examples import Examples

HEADS: Final = {
    "p_click": "click", "p_complete": "complete", "p_like": "like", "p_skip": "skip",
    "p_not_interested": "not_interested",
}  # fmt: skip


def heads(ranker: Ranker, examples: Examples, which: NDArray[np.bool_]) -> list[Head]:
    """AUC and calibration of each head, on some of the rows; position is not corrected for."""
    rows = np.flatnonzero(which)
    columns = {name: column[rows] for name, column in examples.columns.items()}
    nowhere = np.zeros(len(rows), np.uint32)
    said = ranker.predict(CandidateBatch(np.arange(len(rows)), nowhere, columns))
    out = []
    for name, outcome in HEADS.items():
        label: NDArray[np.bool_] = getattr(examples.outcomes, outcome)[rows]
        p = np.asarray(said[name], np.float64)
        out.append(
            Head(name, auc(p, label), calibration_error(p, label), int(label.sum()), len(rows))
        )
    return out
