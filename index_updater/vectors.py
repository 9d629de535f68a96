"""Vectors on their way in: checked, of unit length, in half precision, no two of them equal.

Two traps of HNSW, measured with 1,500 copies of each of 5 vectors among 20,000 others, recall@500:
- equal vectors link to each other only and many cannot be reached: 0.4-0.9 in the mean, and for
  some of them next to nothing is found. Videos without text have equal vectors. So each is moved by
  a thousandth, in a direction that its id gives;
- half precision leaves lengths off by 1e-4, and by inner product the longest of near-equal vectors
  is everybody's nearest: 0.07-0.18. So what is compared is of unit length again: 1.0.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from contracts.batch import Ids

F32 = NDArray[np.float32]
_MOVE: Final = np.float32(1e-3)
_STEP: Final = np.uint64(0x9E3779B97F4A7C15)
_MIX: Final = np.uint64(0xBF58476D1CE4E5B9)


def unit_halves(vectors: F32, ids: Ids, dim: int) -> NDArray[np.float16]:
    """(n, d) float16 of about unit length; the same for the same id and vector.

    Raises:
        ValueError: on another shape, NaN, infinity or zero.
    """
    vectors = np.asarray(vectors, np.float32)
    if vectors.shape != (len(ids), dim):
        raise ValueError(f"vectors of shape {vectors.shape}, not {(len(ids), dim)}")
    # Scaled first: the square of a large float32 overflows, that of a small one vanishes.
    scale = np.abs(vectors).max(axis=1, initial=0.0)
    bad = np.flatnonzero(~(np.isfinite(scale) & (scale > 0)))
    if len(bad):
        raise ValueError(f"vector {bad[0]} of {len(ids)} is zero or not finite")
    units = unit_rows(vectors / scale[:, None])
    moved: F32 = units + _MOVE / np.float32(np.sqrt(dim)) * _noise(ids, dim)
    return moved.astype(np.float16)


def unit_rows(vectors: F32) -> F32:
    """(n, d) float32, each divided by its length."""
    lengths = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))
    units: F32 = vectors / lengths[:, None]
    return units


def _noise(ids: Ids, dim: int) -> F32:
    """(n, d) float32 of variance one that only depends on the id (splitmix64, its upper half)."""
    x = ids.view(np.uint64)[:, None] + np.arange(1, dim + 1, dtype=np.uint64) * _STEP
    x = (x ^ (x >> np.uint64(30))) * _MIX
    x = (x ^ (x >> np.uint64(27))) >> np.uint64(40)
    noise: F32 = (x.astype(np.float32) - np.float32(2**23)) * np.float32(np.sqrt(3) / 2**23)
    return noise


def unit_query(query: F32, dim: int) -> F32:
    """(d,) float32 of unit length.

    Raises:
        ValueError: as above.
    """
    query = np.asarray(query, np.float32)
    if query.shape != (dim,):
        raise ValueError(f"query of shape {query.shape}, not {(dim,)}")
    length = float(np.linalg.norm(query.astype(np.float64)))
    if not np.isfinite(length) or length == 0.0:
        raise ValueError("the query is zero or not finite")
    unit: F32 = (query / length).astype(np.float32)
    return unit


def last_of_each(ids: Ids, halves: NDArray[np.float16]) -> tuple[Ids, NDArray[np.float16]]:
    """Distinct ids in the order of their last mention, with what it said."""
    unique, first = np.unique(ids[::-1], return_index=True)
    if len(unique) == len(ids):
        return ids, halves
    keep = np.sort(len(ids) - 1 - first)
    return ids[keep], halves[keep]
