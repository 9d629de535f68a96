"""What lists are like as lists: how much of the catalogue they show, how unlike the charts, how varied."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Lists = NDArray[np.integer[Any]]  # (q, k) videos, best first


def coverage(lists: Lists, candidates: int) -> float:
    """Share of the candidates that is on any list."""
    return len(np.unique(lists)) / max(candidates, 1)


def novelty(lists: Lists, counts: NDArray[np.integer[Any]]) -> NDArray[np.float64]:
    """(q,) mean bits of surprise of the listed videos: -log2 of a video's share of all that happened.

    Zhou et al. 2010; one event is added to each video, so that an unseen one is finite.
    """
    share = (counts + 1) / (counts.sum() + len(counts))
    out: NDArray[np.float64] = -np.log2(share)[lists].mean(axis=1)
    return out


def variety(lists: Lists, vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    """(q,) intra-list diversity: 1 - mean cosine of two different videos of a list; 0 of one video.

    Args:
        vectors: (m, d) of unit length, the same for every recommender that is compared.
    """
    k = lists.shape[1]
    if k < 2:
        return np.zeros(len(lists))
    total = vectors[lists].sum(axis=1, dtype=np.float64)  # |sum|^2 = k + sum over pairs
    own = (vectors.astype(np.float64) ** 2).sum(axis=1)[lists].sum(axis=1)
    pairs = (total**2).sum(axis=1) - own
    out: NDArray[np.float64] = 1 - pairs / (k * (k - 1))
    return out
