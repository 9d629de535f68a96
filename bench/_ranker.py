"""A trained ranker of the form that ships, weights at random: they cost what trained ones do."""

from typing import Any

import numpy as np

from contracts.batch import CandidateBatch
from contracts.features import FEATURE_COLUMNS, VIDEO_COLUMNS
from model_runtime.learned_ranker import LearnedRanker, shapes
from model_runtime.ranker_form import RankerForm
from model_runtime.ranker_inputs import Encoder


def candidates(rng: np.random.Generator, n: int) -> CandidateBatch:
    """Rows with every column."""
    columns: dict[str, Any] = {}
    for spec in (*VIDEO_COLUMNS, *FEATURE_COLUMNS):
        shape, whole = (n, *spec.shape), spec.dtype.kind != "f"
        values = rng.integers(0, 2 if spec.dtype == np.bool_ else 200, shape)
        columns[spec.name] = (values if whole else rng.random(shape)).astype(spec.dtype)
    return CandidateBatch(np.arange(n), np.zeros(n, np.uint32), columns)


def ranker(rng: np.random.Generator, form: RankerForm, of: CandidateBatch) -> LearnedRanker:
    """Weights of a tenth, edges between 0 and 1; every name and cross of `of` has a row."""
    edges = np.sort(rng.random((len(form.numbers), form.bins + 1)), axis=1).astype(np.float32)
    blank = Encoder(form, edges, np.zeros(0, np.int64))
    keys = np.unique(blank.keys_of(of.columns, blank.numbers(of.columns, len(of))))
    keys = keys[keys != 0]
    weights: dict[str, Any] = {
        name: 0.1 * rng.standard_normal(shape).astype(np.float32)
        for name, shape in shapes(form, len(keys) + 1).items()
    }
    for table in ("embedding", "wide"):
        weights[table][0] = 0  # nothing weighs nothing
    return LearnedRanker(form, weights | {
        "edges": edges, "keys": keys,
        "watch_edges_s": np.linspace(0, 60, form.watch_bins + 1),
        "scale": np.ones(form.outputs), "shift": np.zeros(form.outputs),
    })  # fmt: skip
