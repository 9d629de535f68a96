"""What a feed asks of the board, in compiled loops: chains of partials, faded counts, mixed lists.

The writer may have grown an array since a reader took it: a row beyond its end is not there yet.
"""

import numpy as np
from numpy.typing import NDArray

from contracts.batch import Ids, Rows
from contracts.models import F32
from operators.kernel import kernel

Numbers = NDArray[np.int32]


def compile_now() -> None:
    """So that no request waits for it."""
    row, time = np.zeros(1, np.intp), np.zeros(1, np.int64)
    chains(np.zeros(1, np.int32), np.full(1, -1, np.int32), row)
    faded(np.zeros((1, 1), np.float32), time, row, 0, 1.0)
    summed(time, np.zeros(1, np.float32), row, np.zeros(1))


@kernel
def chains(head: Numbers, behind: Numbers, rows: Rows) -> tuple[Rows, Rows]:
    """(p,) index into `rows` and (p,) partial, for every partial of these rows; -1 ends a chain."""
    n = 0
    for row in rows:
        at = head[row]
        while 0 <= at < len(behind):
            at, n = behind[at], n + 1
    whose, part = np.empty(n, np.intp), np.empty(n, np.intp)
    n = 0
    for i in range(len(rows)):
        at = head[rows[i]]
        while 0 <= at < len(behind):
            whose[n], part[n] = i, at
            at, n = behind[at], n + 1
    return whose, part


@kernel
def faded(
    counts: F32, at_ms: NDArray[np.int64], rows: Rows, now_ms: int, half_life_ms: float
) -> F32:
    """(5, n) counts of these rows, decayed to now as `operators.decay.fade` does; 0 for row -1."""
    out = np.zeros((counts.shape[1], len(rows)), np.float32)
    for i in range(len(rows)):
        if 0 <= rows[i] < len(counts):
            left = 2.0 ** (-max(now_ms - at_ms[rows[i]], 0) / half_life_ms)
            for j in range(counts.shape[1]):
                out[j, i] = counts[rows[i], j] * left
    return out


@kernel
def summed(keys: Ids, weights: F32, sizes: NDArray[np.intp], scale: NDArray[np.float64]) -> tuple[
    Ids, NDArray[np.float64]
]:  # fmt: skip
    """Each key once, in order of first sight, and the sum of its weights; list i counts scale[i]."""
    size = 16
    while size < 2 * len(keys):
        size *= 2
    slots, mask = np.full(size, -1, np.int32), np.uint64(size - 1)
    found, sums = np.empty(len(keys), np.int64), np.zeros(len(keys), np.float64)
    n, at = 0, 0
    for part in range(len(sizes)):
        for i in range(at, at + sizes[part]):
            home = np.uint64(keys[i]) * np.uint64(0x9E3779B97F4A7C15)
            slot = (home >> np.uint64(32)) & mask
            while slots[slot] >= 0 and found[slots[slot]] != keys[i]:
                slot = (slot + np.uint64(1)) & mask
            if slots[slot] < 0:
                slots[slot], found[n], n = n, keys[i], n + 1
            sums[slots[slot]] += weights[i] * scale[part]
        at += sizes[part]
    return found[:n], sums[:n]
