"""What a layer remembers and takes in at one event, in numpy.

`model_runtime.training.cells` has the same three in torch, for whole sequences; there is said where
they come from.
"""

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np

from contracts.models import F32

Weights = Mapping[str, F32]
Remember = Callable[[F32, F32], F32]  # (..., w) state before and values -> (..., w) state after
STRENGTH: Final = 4.0
_HALF: Final = np.float32(0.5)


def softplus(x: F32) -> F32:
    """log(1 + e^x)."""
    out: F32 = np.logaddexp(np.float32(0), x)
    return out


def gate_matrix(blocks: F32) -> F32:
    """(w, w) block-diagonal matrix of (heads, w / heads, w / heads) blocks."""
    heads, size, _ = blocks.shape
    by_head = np.zeros((heads, size, heads, size), np.float32)
    by_head[np.arange(heads), :, np.arange(heads)] = blocks
    matrix: F32 = by_head.reshape(heads * size, heads * size)
    return matrix


def gates(weights: Weights, name: str) -> Callable[[F32], F32]:
    """(..., w) values -> 2 * sigmoid - 1 of each gate, which is tanh of half: it cannot overflow.

    The blocks of the heads become one matrix: as quick as their small products, and no transposing.
    """
    matrix = gate_matrix(_HALF * weights[f"{name}.weight"])
    bias = _HALF * weights[f"{name}.bias"]

    def opened(values: F32) -> F32:
        x: F32 = values @ matrix
        x += bias
        return np.tanh(x, out=x)

    return opened


def rg_lru(weights: Weights, name: str) -> Remember:
    """Decay = e^(rate * forget); state' = decay * state + sqrt(1 - decay^2) * take * values."""
    forget, take = gates(weights, f"{name}.forget"), gates(weights, f"{name}.take")
    half_rate = np.float32(-STRENGTH / 2) * softplus(weights[f"{name}.rate"])

    def remember(state: F32, values: F32) -> F32:
        decay, drive = forget(values), take(values)
        decay *= half_rate
        decay += half_rate
        np.exp(decay, out=decay)
        drive += np.float32(1)
        drive *= values
        kept = decay * decay
        np.subtract(np.float32(1 + 1e-6), kept, out=kept)
        kept *= _HALF * _HALF  # the half that is missing in 2 * sigmoid
        drive *= np.sqrt(kept, out=kept)
        drive += np.multiply(decay, state, out=decay)
        return drive

    return remember


def min_gru(weights: Weights, name: str) -> Remember:
    """The state becomes state + take * (values - state)."""
    take = gates(weights, f"{name}.take")

    def remember(state: F32, values: F32) -> F32:
        share = take(values)
        share += np.float32(1)
        share *= _HALF
        share *= values - state
        share += state
        return share

    return remember


def lru(weights: Weights, name: str) -> Remember:
    """The state becomes decay * state + sqrt(1 - |decay|^2) * values, on pairs of numbers."""
    size = np.exp(-np.exp(weights[f"{name}.rate"]))
    decay = (size * np.exp(1j * weights[f"{name}.angle"])).astype(np.complex64)
    drive = np.sqrt(1 - size * size).astype(np.complex64)

    def remember(state: F32, values: F32) -> F32:
        pairs = np.ascontiguousarray(state).view(np.complex64) * decay
        pairs += values.view(np.complex64) * drive
        after: F32 = pairs.view(np.float32)
        return after

    return remember


CELLS: Final[Mapping[str, Callable[[Weights, str], Remember]]] = {
    "rg_lru": rg_lru, "min_gru": min_gru, "lru": lru,
}  # fmt: skip
