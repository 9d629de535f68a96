"""The trained ranker as a graph: the feature columns of candidates, under their names, to its heads."""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto

from contracts.models import F32
from model_runtime.graphs.graph import Graph, Value
from model_runtime.graphs.ranker_encoding import columns_of, keys_of, numbers_of, pieces_of
from model_runtime.graphs.taken import Taken
from model_runtime.ranker_form import PROBABILITIES, RankerForm
from model_runtime.ranker_inputs import Encoder

NAME: Final = "ranker"


def ranker(
    form: RankerForm, weights: Mapping[str, NDArray[Any]], about: dict[str, str]
) -> ModelProto:
    """The graph of `LearnedRanker.predict`.

    Inputs are the columns of `form.features`, in the types and shapes of the feature list; outputs are
    the heads, (n,) float32 each.

    Raises:
        BundleError: the ranker has weights that the graph has no place for, or is too large.
        KeyError: it lacks one.
    """
    w, g = Taken(weights), Graph(NAME)
    encoder, columns = Encoder(form, w["edges"], w["keys"]), columns_of(g, form)
    numbers = numbers_of(encoder, columns)
    tokens = g.looked_up(
        keys_of(encoder, columns, numbers), np.r_[np.int64(0), encoder.keys], 0
    )  # row 0 is nothing, and all that training saw too rarely
    z = _logits(form, w, pieces_of(encoder, numbers), tokens)
    z = z * w["scale"] + w["shift"]
    p = g("Sigmoid", z.clipped(np.float32(-30), np.float32(30)))
    for i, name in enumerate(PROBABILITIES):
        g.output(name, p.columns(i, i + 1).reshaped(-1), np.float32)
    hazards = p.columns(len(PROBABILITIES), form.outputs)
    g.output("watch_s", _watched(w["watch_edges_s"], hazards, columns["duration_ms"]), np.float32)
    w.all_of(NAME)
    return g.model(about)


def _logits(form: RankerForm, w: Taken, pieces: Value, tokens: Value) -> Value:
    """(n, outputs) before calibration."""
    g, table = pieces.graph, w["embedding"]
    vectors = [
        g(
            "ReduceMean",
            g("Gather", table, tokens.columns(a, b)),
            np.array([1], np.int64),
            keepdims=0,
        )
        for a, b in form.slots
    ]
    x = g.joined([pieces, *vectors])
    from_hidden = w["from_hidden"].reshape(-1, form.outputs) / np.float32(form.members)
    z = _crossed(form, w, x) @ w["from_cross"] + _hidden(form, w, x) @ from_hidden
    return z + w["bias"] + g("Gather", w["wide"], tokens).summed(1)


def _crossed(form: RankerForm, w: Taken, x: Value) -> Value:
    crossed = x
    for i in range(form.layers):
        gate = crossed @ w[f"cross.{i}.down"] @ w[f"cross.{i}.up"] + w[f"cross.{i}.bias"]
        crossed = gate * x + crossed
    return crossed


def _hidden(form: RankerForm, w: Taken, x: Value) -> Value:
    """(n, members x width), the members side by side."""
    g, m, width = x.graph, form.members, form.width
    first = g("Relu", x @ w["hidden.0"] + w["hidden.0.bias"])
    each = first.reshaped(-1, m, width).swapped(1, 0, 2) @ w["hidden.1"] + w["hidden.1.bias"]
    return g("Relu", each).swapped(1, 0, 2).reshaped(-1, m * width)


def _watched(edges_s: F32, hazards: Value, duration_ms: Value) -> Value:
    """`model_runtime.watch_time.expected_s`, a piece at a time."""
    g, zero, one = hazards.graph, np.float32(0), np.float32(1)
    edges_s = edges_s.astype(np.float32)
    length_s = duration_ms.cast(np.float32).reshaped(-1, 1) / np.float32(1000)
    whole = g("Where", g("Greater", length_s, zero), length_s, np.float32(np.inf))
    before, seconds = hazards.columns(0, 1) * zero + one, list[Value]()
    for i, (low, width) in enumerate(zip(edges_s[:-1], np.diff(edges_s), strict=True)):
        part = ((whole - low) / width).clipped(zero, one)
        stay = before * (g("Neg", hazards.columns(i, i + 1)) + one)
        seconds.append(part * width * (before - (before - stay) * part / np.float32(2)))
        before = stay
    return g.joined(seconds).summed(1)
