"""Two numbers a head, fitted on validation, that make its log-odds mean what they say (Platt 1999).

They are fitted on what serving computes: logits without the place of what was shown.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from contracts.models import F32
from model_runtime.ranker_form import PROBABILITIES

_STEEP: Final = 50  # with fewer positives only the rate is put right, not the slope
_HEADS: Final = len(PROBABILITIES)
F64 = NDArray[np.float64]


def calibrated(z: F32, wanted: F32, known: F32) -> tuple[F32, F32]:
    """(outputs,) scale and shift of the logits; the pieces of the time watched share theirs.

    Args:
        z: (n, outputs) logits; wanted: what they should say; known: 1 where that is known, else 0.
    """
    scale, shift = np.ones(z.shape[1], np.float32), np.zeros(z.shape[1], np.float32)
    groups = [slice(i, i + 1) for i in range(_HEADS)] + [slice(_HEADS, None)]
    for group in groups:
        of = known[:, group] > 0
        if of.any():
            a, b = _fit(z[:, group][of].astype(np.float64), wanted[:, group][of].astype(np.float64))
            scale[group], shift[group] = a, b
    return scale, shift


def moved_to(z: F32, rate: float) -> float:
    """The shift at which the mean of sigmoid(z + shift) is `rate`."""
    low, high = -30.0, 30.0
    for _ in range(60):
        middle = (low + high) / 2
        mean = float((1 / (1 + np.exp(-np.clip(z + middle, -60, 60)))).mean())
        low, high = (middle, high) if mean < rate else (low, middle)
    return (low + high) / 2


def _fit(z: F64, wanted: F64) -> tuple[float, float]:
    """Scale and shift of the least log-loss, by Newton's method, held near 1 and 0 by a prior."""
    few = min(float(wanted.sum()), float((1 - wanted).sum())) < _STEEP
    # Centred, so that scale and shift hardly know of each other.
    center = float(z.mean())
    x = np.stack([z - center, np.ones_like(z)], axis=1)
    at, prior, hold = np.array([1.0, center]), np.array([1.0, center]), np.array([1.0, 1e-3])
    for _ in range(30):
        p = 1 / (1 + np.exp(-np.clip(x @ at, -30, 30)))
        slope = x.T @ (p - wanted) + hold * (at - prior)
        curve = (x * (p * (1 - p))[:, None]).T @ x + np.diag(hold)
        if few:
            slope[0], curve[0, 1], curve[1, 0] = 0, 0, 0
        step = np.linalg.solve(curve, slope)
        at = at - np.clip(step, -2, 2)
        if np.abs(step).max() < 1e-9:
            break
    scale = float(np.clip(at[0], 0.1, 3.0))
    return scale, float(at[1] - scale * center)
