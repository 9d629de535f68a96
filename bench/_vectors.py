"""Vectors for benchmarks of the index: drawn around centres, or what the shipped bundle makes of videos.

What the index is asked is drawn apart from what is put in, in kinds: `new` lies on a video that is not
there, `mixed` between three and `wide` between eight, as viewers' vectors do.
"""

from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from bench import _catalog
from contracts.settings import ModelSettings
from index_updater.vectors import unit_rows
from model_runtime import bundles

F32 = NDArray[np.float32]
KINDS: Final = {"new": 1, "mixed": 3, "wide": 8}
_MADE_MS: Final = 1_760_000_000_000


class Vectors(Protocol):
    """Where vectors come from: each call gives others."""

    dim: int

    def draw(self, n: int) -> F32:
        """(n, d) float32 of unit length."""


class Clusters:
    """Around 2,000 centres; two of a centre have a cosine of about 1 / (1 + spread^2)."""

    def __init__(self, spread: float, seed: int, dim: int = 64) -> None:
        self.dim, self._spread = dim, np.float32(spread)
        self._centres = np.random.default_rng(0).standard_normal((2000, dim)).astype(np.float32)
        self._rng = np.random.default_rng(seed)

    def draw(self, n: int) -> F32:
        x = self._centres[self._rng.integers(0, 2000, n)]
        return unit_rows(x + self._spread * self._rng.standard_normal(x.shape).astype(np.float32))


class Day0:
    """Of the videos of `bench._catalog`, by the item tower of the bundle that ships."""

    def __init__(self, start: int, stop: int) -> None:
        self._bundle = bundles.load(ModelSettings())
        self.dim: int = self._bundle.items.dim
        self._world, self._at = _catalog.World(stop, _MADE_MS), start

    def draw(self, n: int) -> F32:
        videos = self._world.videos(self._at, self._at + n)
        self._at += n
        if len(videos) < n:
            raise ValueError("no videos are left to draw")
        vectors: Any = self._bundle.items.embed(videos)
        return np.asarray(vectors, np.float32)


def asked(vectors: Vectors, n: int) -> dict[str, F32]:
    """(n, d) queries of each kind."""
    return {
        kind: unit_rows(vectors.draw(n * of).reshape(n, of, -1).sum(axis=1))
        for kind, of in KINDS.items()
    }
