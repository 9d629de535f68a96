"""The best of what a search has found."""

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]
Labels = NDArray[np.int64]


def best(labels: Labels, sims: F32, k: int) -> tuple[Labels, F32]:
    """The k best, best first; ties by label."""
    if 0 < k < len(sims) // 4:
        top = np.argpartition(sims, len(sims) - k)[len(sims) - k :]
        labels, sims = labels[top], sims[top]
    order = np.argsort(-sims)  # half of what lexsort takes, and ties are rare
    labels, sims = labels[order], sims[order]
    if (sims[1:] == sims[:-1]).any():
        order = np.lexsort((labels, -sims))
        labels, sims = labels[order], sims[order]
    return labels[:k], sims[:k]
