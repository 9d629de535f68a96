"""What the current order is worth, so that re-rankers compose instead of undoing each other."""

import numpy as np
from numpy.typing import NDArray

from contracts.batch import CandidateBatch


def standing(batch: CandidateBatch) -> NDArray[np.float32]:
    """(n,) float32 in [0, 1], falling: row i has the i-th best score of all, wherever that came from.

    Scores [0.2, 0.9, 0.5] in this order -> [1.0, 0.43, 0.0]: the row in front keeps the lead that a
    front row has, although an earlier re-ranker, not its own score, put it there.
    """
    score = batch["score"]
    finite = score[np.isfinite(score)]
    out = np.zeros(len(batch), np.float32)
    if len(finite):
        ordered = np.sort(finite)[::-1]
        out[: len(finite)] = (ordered - ordered[-1]) / max(ordered[0] - ordered[-1], 1e-9)
    return out
