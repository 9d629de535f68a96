"""From a trained model to what serves: calibrated, rare heads stood in for."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from contracts.models import F32
from model_runtime.learned_ranker import LearnedRanker
from model_runtime.ranker_form import PROBABILITIES
from model_runtime.ranker_inputs import Encoder
from model_runtime.training.ranker_calibration import calibrated, moved_to
from model_runtime.training.ranker_fitting import answers
from model_runtime.training.ranker_model import RankerModel
from model_runtime.training.ranker_rows import Rows

# Who speaks for a head that was seen too rarely to be learned.
STAND_IN: Final = {"p_not_interested": "p_skip", "p_like": "p_complete"}
_AT_ONCE: Final = 4096


def uncalibrated(model: RankerModel, encoder: Encoder, edges_s: F32) -> dict[str, NDArray[Any]]:
    """Every weight that serving needs, the logits as they are."""
    outputs = model.form.outputs
    return {
        **model.exported(), "edges": encoder.edges, "keys": encoder.keys, "watch_edges_s": edges_s,
        "scale": np.ones(outputs, np.float32), "shift": np.zeros(outputs, np.float32),
    }  # fmt: skip


def finished(
    weights: dict[str, NDArray[Any]], ranker: LearnedRanker, learned: Rows, validation: Rows,
    fewest: int,
) -> dict[str, NDArray[Any]]:  # fmt: skip
    """The weights with calibration, fitted on `validation`.

    Args:
        fewest: positives that a head needs to be its own.
    """
    z = logits(ranker, validation)
    scale, shift = calibrated(z, *answers(weights["watch_edges_s"], validation))
    out = {name: array.copy() for name, array in weights.items()} | {"scale": scale, "shift": shift}
    labels = np.concatenate([learned.targets.labels, validation.targets.labels])
    for name, other in STAND_IN.items():
        i, j = PROBABILITIES.index(name), PROBABILITIES.index(other)
        if labels[:, i].sum() < fewest:
            for table in ("wide", "bias", "from_hidden", "from_cross"):
                out[table][..., i] = out[table][..., j]
            rate = (float(labels[:, i].sum()) + 0.5) / (len(labels) + 1)
            scale[i], shift[i] = scale[j], moved_to(z[:, j] * scale[j], rate)
    return out


def logits(ranker: LearnedRanker, rows: Rows) -> F32:
    """(n, outputs) before calibration, as serving computes them."""
    n = len(rows)
    parts = [rows.take(slice(a, a + _AT_ONCE)) for a in range(0, n, _AT_ONCE)]
    return np.concatenate([ranker.logits(ranker.encode(p.columns, len(p))) for p in parts])
