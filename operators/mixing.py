"""Hashes of integers for whole arrays."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

U64 = NDArray[np.uint64]
_GOLDEN: Final = np.uint64(0x9E3779B97F4A7C15)


def mixed(keys: NDArray[np.int64] | U64) -> U64:
    """(n,) uint64, every bit of the key spread over all bits (splitmix64's finaliser, Steele 2014)."""
    x = keys.astype(np.uint64)
    x ^= x >> np.uint64(30)
    x *= np.uint64(0xBF58476D1CE4E5B9)
    x ^= x >> np.uint64(27)
    x *= np.uint64(0x94D049BB133111EB)
    x ^= x >> np.uint64(31)
    return x


def paired(first: NDArray[np.int64] | U64, second: NDArray[np.int64] | U64) -> U64:
    """(n,) uint64 hash of pairs in which the order matters."""
    return mixed(mixed(first) + _GOLDEN ^ second.astype(np.uint64))
