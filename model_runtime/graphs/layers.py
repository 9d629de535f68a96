"""The towers' blocks as nodes: `model_runtime.blocks` and `model_runtime.cells` once more."""

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np

from contracts.models import F32
from model_runtime.cells import STRENGTH, gate_matrix, softplus
from model_runtime.graphs.graph import Value
from model_runtime.graphs.taken import Taken

Apply = Callable[[Taken, str, Value], Value]
Remember = Callable[[Taken, str, Value, Value], Value]


def linear(weights: Taken, name: str, x: Value) -> Value:
    """X W^T + b."""
    return x @ np.ascontiguousarray(weights[f"{name}.weight"].T) + weights[f"{name}.bias"]


def norm(weights: Taken, name: str, x: Value) -> Value:
    """Root mean square of 1, times a weight a number."""
    weight = weights[f"{name}.weight"]
    mean = (x * x).summed(1, keep=True) / np.float32(len(weight))
    return x * (x.graph("Reciprocal", x.graph("Sqrt", mean + np.float32(1e-6))) * weight)


def silu(x: Value) -> Value:
    """X * sigmoid(x)."""
    return x * x.graph("Sigmoid", x)


def unit(x: Value) -> Value:
    """Rows of length 1; zero rows stay zero."""
    length = x.graph("Sqrt", (x * x).summed(1, keep=True))
    return x / x.graph("Max", length, np.float32(1e-12))


def some(x: Value) -> Value:
    """(n, 1) float32, 1 where a row has a number that is not zero."""
    largest = x.graph("ReduceMax", x.graph("Abs", x), np.array([1], np.int64), keepdims=1)
    return x.graph("Greater", largest, np.float32(0)).cast(np.float32)


def _mlp(weights: Taken, name: str, x: Value) -> Value:
    up = linear(weights, f"{name}.up", norm(weights, f"{name}.norm", x))
    return x + linear(weights, f"{name}.down", silu(up))


def _cross(weights: Taken, name: str, x: Value) -> Value:
    once = x * linear(weights, f"{name}.first", x) + x
    return x * linear(weights, f"{name}.second", once) + once


def _nothing(weights: Taken, name: str, x: Value) -> Value:
    del weights, name
    return x


def _gate(weights: Taken, name: str, values: Value) -> Value:
    matrix = gate_matrix(weights[f"{name}.weight"])
    return values.graph("Sigmoid", values @ matrix + weights[f"{name}.bias"])


def _rg_lru(weights: Taken, name: str, state: Value, values: Value) -> Value:
    g = values.graph
    rate = np.float32(-STRENGTH) * softplus(weights[f"{name}.rate"])
    decay = g("Exp", _gate(weights, f"{name}.forget", values) * rate)
    kept = g("Sqrt", g("Neg", decay * decay) + np.float32(1 + 1e-6))
    return decay * state + kept * _gate(weights, f"{name}.take", values) * values


def _min_gru(weights: Taken, name: str, state: Value, values: Value) -> Value:
    return state + _gate(weights, f"{name}.take", values) * (values - state)


def _lru(weights: Taken, name: str, state: Value, values: Value) -> Value:
    """Pairs of numbers, turned and shrunk."""
    size = np.exp(-np.exp(weights[f"{name}.rate"]))
    angle = weights[f"{name}.angle"]
    real, imaginary = (size * turn(angle) for turn in (np.cos, np.sin))
    width = 2 * len(size)
    # One matrix of 2 x 2 blocks: (re, im) becomes (re r - im i, re i + im r).
    turned = np.zeros((width, width), np.float32)
    even = np.arange(0, width, 2)
    turned[even, even], turned[even + 1, even] = real, -imaginary
    turned[even, even + 1], turned[even + 1, even + 1] = imaginary, real
    drive: F32 = np.repeat(np.sqrt(1 - size * size), 2).astype(np.float32)
    return state @ turned + values * drive


BLOCKS: Final[Mapping[str, Apply]] = {"none": _nothing, "mlp": _mlp, "cross": _cross}
CELLS: Final[Mapping[str, Remember]] = {"rg_lru": _rg_lru, "min_gru": _min_gru, "lru": _lru}
