"""Exponential decay in event time."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]


def fade(elapsed_ms: NDArray[Any], half_life_ms: float) -> F64:
    """What is left of 1 after `elapsed_ms`; before its time a value is whole: [-5, 0, h] -> 1, 1, 0.5.

    Decay is linear, so sums may be faded as a whole, and a late event is faded to where it belongs.
    """
    half_lives = np.maximum(np.asarray(elapsed_ms, np.float64), 0.0) / half_life_ms
    out: F64 = np.exp2(-half_lives)
    return out
