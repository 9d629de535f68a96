"""Rows as a byte a number, by which a search finds what it then compares exactly.

A code is (row - centre of its cell) / scale, with one scale a row: the more alike the rows of a cell
are, the finer it is. Without the centre a cosine is wrong by 0.0008 (standard deviation, 64 numbers).
A search keeps a quarter more than is wanted, and of a million videos finds what exact numbers find.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from operators.kernel import free_kernel, kernel

F32 = NDArray[np.float32]
Slots = NDArray[np.int32]
Codes = NDArray[np.int8]
_BLOCK: Final = (
    64  # numbers: a loop of known length is twice as fast; rows are filled up with zeros
)
_MOST: Final = 127
_QUERY: Final = 32_767  # 64 x 127 x this stays below 2^31
_ENOUGH: Final = 100  # one of so many wanted keeps a search going


def empty(rows: int, dim: int) -> Codes:
    """(blocks, rows, 64), not filled: a code lies in as many blocks as it takes."""
    return np.empty((_blocks(dim), rows, _BLOCK), np.int8)


def _blocks(dim: int) -> int:
    return -(-dim // _BLOCK)


@free_kernel
def encode(rows: F32, codes: Codes, scales: F32, centres: F32, slots: Slots, size: int) -> None:
    """Set code and scale of these rows, in cells of `size`."""
    for slot in slots:
        centre = centres[slot // size]
        most = np.float32(1e-12)
        for j in range(rows.shape[1]):
            most = max(most, abs(rows[slot, j] - centre[j]))
        scales[slot] = most / np.float32(_MOST)
        codes[:, slot] = 0
        for j in range(rows.shape[1]):
            number = np.rint((rows[slot, j] - centre[j]) * np.float32(_MOST) / most)
            codes[j // _BLOCK, slot, j % _BLOCK] = np.int8(number)


@kernel
def coded_query(query: F32) -> tuple[NDArray[np.int16], float]:
    """(blocks, 64) whole numbers and what one is worth; finer than a code, since there is one query."""
    coded = np.zeros((-(-len(query) // _BLOCK), _BLOCK), np.int16)
    most = np.float32(1e-12)
    for j in range(len(query)):
        most = max(most, abs(query[j]))
    for j in range(len(query)):
        coded[j // _BLOCK, j % _BLOCK] = np.int16(query[j] * np.float32(_QUERY) / most)
    return coded, float(most) / _QUERY


@free_kernel
def nearest(
    codes: Codes, scales: F32, rows: F32, labels: Slots, counts: Slots, cells: NDArray[np.intp],
    bases: F32, coded: NDArray[np.int16], worth: float, query: F32, k: int, size: int, patience: int,
    most: int,
) -> tuple[NDArray[np.int64], F32]:  # fmt: skip
    """Labels and exact cosines, in no order, of a quarter more than the k best rows of these cells.

    Cells are read in this order until `patience` rows in a row have brought fewer than k / 100 among
    the best so far, or `most` were read. `bases` are the cosines of the query and each cell's centre.
    """
    keep = k + k // 4 + 32
    found = np.empty(keep, np.int32)
    sims = np.full(keep, -np.inf, np.float32)  # a heap: least first
    near = np.empty(size, np.float32)
    came = np.empty(len(cells), np.int32)  # by each cell
    oldest, recent, lately = 0, 0, 0  # cell, rows and what came, of the last `patience` rows
    read, least, enough, worth32 = 0, sims[0], max(1.0, k / _ENOUGH), np.float32(worth)
    for at, cell in enumerate(cells):
        first = cell * size
        rows_here = counts[cell]
        near[:rows_here] = bases[cell]
        for block in range(len(coded)):
            layer, asked = codes[block], coded[block]
            part = layer[first : first + rows_here]
            for r in range(rows_here):
                total = np.int32(0)
                for j in range(_BLOCK):
                    number = np.int32(part[r, j]) * np.int32(asked[j])
                    total = np.int32(total + np.int32(number))
                near[r] += np.float32(total) * scales[first + r] * worth32
        came[at] = 0
        for r in range(rows_here):
            if near[r] <= least:
                continue
            came[at] += 1
            hole, child = 0, 1
            while child < keep:
                child += child + 1 < keep and sims[child + 1] < sims[child]
                if sims[child] >= near[r]:
                    break
                found[hole], sims[hole] = found[child], sims[child]
                hole, child = child, 2 * child + 1
            found[hole], sims[hole] = first + r, near[r]
            least = sims[0]
        read += rows_here
        recent += rows_here
        lately += came[at]
        while recent - counts[cells[oldest]] >= patience:
            recent -= counts[cells[oldest]]
            lately -= came[oldest]
            oldest += 1
        if read >= most or (recent >= patience and lately < enough and least > -np.inf):
            break

    found = found[np.flatnonzero(sims > -np.inf)]
    exact = np.empty(len(found), np.float32)
    for i in range(len(found)):
        sim = np.float32(0)
        for j in range(len(query)):
            sim += rows[found[i], j] * query[j]
        exact[i] = sim
    return labels[found].astype(np.int64), exact
