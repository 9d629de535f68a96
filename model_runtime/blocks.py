"""Norm, residual MLP and deep-cross network in numpy; `model_runtime.training.blocks` has them in torch."""

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np

from contracts.models import F32
from model_runtime.cells import Weights

Map = Callable[[F32], F32]
_EPSILON: Final = np.float32(1e-6)


def linear(weights: Weights, name: str) -> Map:
    """X W^T + b; the matrix lies as torch has it, (out, in)."""
    matrix = np.ascontiguousarray(weights[f"{name}.weight"].T)
    bias = weights[f"{name}.bias"]

    def apply(x: F32) -> F32:
        y = x @ matrix
        y += bias
        return y

    return apply


def norm(weights: Weights, name: str) -> Map:
    """Root mean square of 1, times a weight a number."""
    weight = weights[f"{name}.weight"]

    def apply(x: F32) -> F32:
        mean = np.einsum("...i,...i->...", x, x)[..., None] / np.float32(x.shape[-1])
        y: F32 = x * (weight / np.sqrt(mean + _EPSILON))
        return y

    return apply


def silu(x: F32) -> F32:
    """X * sigmoid(x)."""
    half = x * np.float32(0.5)
    x = np.tanh(half)
    x += np.float32(1)
    x *= half
    return x


def mlp(weights: Weights, name: str) -> Map:
    """X + down(silu(up(norm(x))))."""
    before, up = norm(weights, f"{name}.norm"), linear(weights, f"{name}.up")
    down = linear(weights, f"{name}.down")
    return lambda x: np.add(x, down(silu(up(before(x)))))


def cross(weights: Weights, name: str) -> Map:
    """x0 * (W x + b) + x, twice."""
    first, second = linear(weights, f"{name}.first"), linear(weights, f"{name}.second")

    def apply(x: F32) -> F32:
        once = x * first(x) + x
        twice: F32 = x * second(once) + once
        return twice

    return apply


def nothing(weights: Weights, name: str) -> Map:
    """The identity."""
    del weights, name
    return lambda x: x


BLOCKS: Final[Mapping[str, Callable[[Weights, str], Map]]] = {
    "none": nothing, "mlp": mlp, "cross": cross,
}  # fmt: skip


def unit(x: F32) -> F32:
    """(..., d) of length 1; zero rows stay zero."""
    length = np.sqrt(np.einsum("...i,...i->...", x, x))[..., None]
    y: F32 = x / np.maximum(length, np.float32(1e-12))
    return y
