"""Which videos a positive is compared with, and how likely each was to be among them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model_runtime.training.batches import Batch
from model_runtime.training.config import Loss

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Drawn:
    """k distinct videos that all rows of a batch share as negatives.

    Attributes:
        videos: (k,) ascending.
        correction: (k,) float32, log of the expected share of batches that have it; 0 for all if
            none of it is by chance, or if the configuration does without.
    """

    videos: Ints
    correction: NDArray[np.float32]


class Negatives:
    """Draws for one log.

    Args:
        likes: (videos,) how often each is a positive.
    """

    def __init__(self, config: Loss, likes: Ints) -> None:
        self._config, self._likes = config, likes
        self._share = likes / max(likes.sum(), 1)
        weight = np.maximum(likes, 1) ** config.popular
        self._drawn = weight / weight.sum()
        self._by_weight = np.cumsum(self._drawn)

    def draw(self, batch: Batch, rng: np.random.Generator) -> Drawn:
        """The shared negatives of one step."""
        kind, n = self._config.kind, len(self._likes)
        if kind == "full" or (kind != "in_batch" and self._config.negatives >= n):
            return Drawn(np.arange(n), np.zeros(n, np.float32))
        expected = np.zeros(n)
        videos = np.zeros(0, np.int64)
        if kind in {"in_batch", "mixed"}:
            videos = batch.target
            expected += len(batch.target) * self._share
        if kind != "in_batch":
            drawn = np.searchsorted(self._by_weight, rng.random(self._config.negatives))
            videos = np.r_[videos, np.minimum(drawn, n - 1)]
            expected += self._config.negatives * self._drawn
        videos = np.unique(videos)
        if not self._config.log_q:
            return Drawn(videos, np.zeros(len(videos), np.float32))
        # Of k draws with probability q each, one is there with 1 - (1 - q)^k, about 1 - e^(-k q).
        there = -np.expm1(-expected[videos])
        return Drawn(videos, np.log(np.maximum(there, 1e-9)).astype(np.float32))
