"""Rows in cells of neighbours: a search reads the cells nearest to its query, whole, in compiled loops.

A cell that is full is cut in two where its rows fall apart, so nothing is trained, and what is
published about something new makes cells of its own. Against HNSW at a million vectors of the day-0
bundle: viewers' vectors lie between clusters that the graph's links do not join, and it finds 0.67 of
the best 500 at an effort of 600 and 0.90 at 4,800, in 9 ms; cells find 0.99 in 1.1 ms (docs/LOG.md).

A search reads a byte a number (`index_updater.codes`), and compares exactly what is left: a third
of the time, and the same rows found. It ends when what it reads brings nothing more: half of the
viewers need 20,000 rows of a million and one in ten needs 50,000, so that a number of rows that is
enough for all would cost most of them three times as much (docs/LOG.md).

Same contract as `index_updater.graph.Graph`: the caller keeps writes and searches apart.
"""

from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from contracts.settings import IndexSettings
from index_updater.codes import F32, Codes, Slots, coded_query, empty, encode, nearest
from index_updater.ranking import best
from operators.kernel import free_kernel

Labels = NDArray[np.int64]
_SIZE: Final = 1024  # rows of a full cell: 0.25 MB at 64 dimensions
_LEAST: Final = 1 / 4  # of the rows stay on either side of a cut: so many cells at most
_TURNS: Final = 6  # of 2-means
_PATIENCE: Final = 32  # rows without a find, for each of effort, after which a search ends
_LONGEST: Final = 8  # times that many rows: a query between everything must not cost without bound
_NOWHERE: Final = -1


class Cells:
    """Unit vectors by inner product; labels are ours, ascending, never used twice."""

    def __init__(
        self, dim: int, capacity: int, settings: IndexSettings, path: Path | None = None
    ) -> None:
        """Empty, or what `save` wrote to `path`."""
        most = 2 + int(capacity / (_SIZE * _LEAST))  # a cut needs so many new rows in one cell
        self.capacity, self.added, self.marked = capacity, 0, 0
        self.ef = settings.ef_search
        # Room is not resident before it is used.
        self._rows: F32 = np.empty((most * _SIZE, dim), np.float32)
        self._codes: Codes = empty(most * _SIZE, dim)
        self._scales: F32 = np.empty(most * _SIZE, np.float32)
        self._labels: Slots = np.empty(most * _SIZE, np.int32)
        self._counts: Slots = np.zeros(most, np.int32)
        self._centres: F32 = np.zeros((most, dim), np.float32)
        self._slots: Slots = np.full(capacity, _NOWHERE, np.int32)  # by label
        self._n = 1
        _compile(dim)
        if path is not None:
            self._load(path)

    @property
    def live(self) -> int:
        """Rows that a search can return."""
        return self.added - self.marked

    @property
    def room(self) -> int:
        return self.capacity - self.added

    def add(self, labels: Labels, vectors: F32, threads: int) -> None:
        """Insert; no search may run meanwhile. The caller sees to `room`."""
        del threads  # a row costs a few microseconds
        self._make_room(int(labels.max(initial=0)) + 1)
        at = 0
        while True:
            at, full = _place(
                self._rows, self._labels, self._counts, self._centres[: self._n], self._slots,
                labels, vectors, at, _SIZE,
            )  # fmt: skip
            if full < 0:
                break
            self._cut(full)
        self._encode(self._slots[labels])
        self.added += len(labels)

    def mark(self, label: int) -> None:
        """Take this label out."""
        slot = int(self._slots[label])
        cell = slot // _SIZE
        self._counts[cell] -= 1
        last = cell * _SIZE + self._counts[cell]
        self._rows[slot], self._labels[slot] = self._rows[last], self._labels[last]
        self._codes[:, slot], self._scales[slot] = self._codes[:, last], self._scales[last]
        self._slots[self._labels[slot]] = slot
        self._slots[label] = _NOWHERE
        self.marked += 1

    def search(self, query: F32, k: int, ef: int = 0) -> tuple[Labels, F32]:
        """(m,) labels and cosines, best first, ties by label, m <= k; `ef`: with another patience."""
        k = min(k, self.live)
        if k <= 0:
            return np.empty(0, np.int64), np.empty(0, np.float32)
        bases, patience = self._centres[: self._n] @ query, (ef or self.ef) * _PATIENCE
        labels, sims = nearest(
            self._codes, self._scales, self._rows, self._labels, self._counts, np.argsort(-bases),
            bases, *coded_query(query), query, k, _SIZE, patience, max(k, patience * _LONGEST),
        )  # fmt: skip
        return best(labels, sims, k)

    def save(self, path: Path) -> None:
        """Write the cells."""
        used = np.concatenate([np.arange(n) + c * _SIZE for c, n in enumerate(self._counts)])
        with path.open("wb") as out:
            for array in (self._counts[: self._n], self._centres[: self._n]):
                np.save(out, array, allow_pickle=False)
            np.save(out, self._labels[used], allow_pickle=False)
            np.save(out, self._rows[used], allow_pickle=False)
            np.save(out, np.array([self.added, self.marked]), allow_pickle=False)

    def _load(self, path: Path) -> None:
        """As `save` wrote it.

        Raises:
            ValueError: it is something else.
        """
        with path.open("rb") as data:
            counts, centres, labels, rows, numbers = (
                np.load(data, allow_pickle=False) for _ in range(5)
            )
        self._n, (self.added, self.marked) = len(counts), numbers.tolist()
        self._counts[: self._n], self._centres[: self._n] = counts, centres
        self._make_room(int(labels.max(initial=0)) + 1)
        ends = np.cumsum(counts)
        for cell, (end, n) in enumerate(zip(ends.tolist(), counts.tolist(), strict=True)):
            start = cell * _SIZE
            self._rows[start : start + n] = rows[end - n : end]
            self._labels[start : start + n] = labels[end - n : end]
            self._slots[labels[end - n : end]] = np.arange(start, start + n)
            self._encode(self._slots[labels[end - n : end]])

    def _encode(self, slots: Slots) -> None:
        encode(self._rows, self._codes, self._scales, self._centres, slots, _SIZE)

    def _make_room(self, labels: int) -> None:
        """Labels run ahead of the rows: those that die in the tail are never put here."""
        if labels > len(self._slots):
            more = np.full(max(labels, 2 * len(self._slots)) - len(self._slots), _NOWHERE, np.int32)
            self._slots = np.concatenate([self._slots, more])

    def _cut(self, cell: int) -> None:
        """Half of the rows of a full cell, or near it, move to a new one."""
        old, new = slice(cell * _SIZE, (cell + 1) * _SIZE), self._n * _SIZE
        rows, labels = self._rows[old].copy(), self._labels[old].copy()
        order, n = _halves(rows)
        for start, part in ((old.start, order[:n]), (new, order[n:])):
            end = start + len(part)
            self._rows[start:end], self._labels[start:end] = rows[part], labels[part]
            self._slots[labels[part]] = np.arange(start, end)
            self._counts[start // _SIZE] = len(part)
            self._centres[start // _SIZE] = _unit(rows[part].sum(axis=0))
            self._encode(self._slots[labels[part]])
        self._n += 1


def _compile(dim: int) -> None:
    """Now, so that no request waits for it: a process with few videos searches nothing here yet."""
    rows, labels = np.zeros((1, dim), np.float32), np.zeros(1, np.int64)
    few = [np.zeros(1, np.int32) for _ in range(3)]
    _place(rows, few[0], few[1], rows, few[2], labels, rows, 0, 1)
    codes, scales = empty(1, dim), rows[:, 0].copy()
    encode(rows, codes, scales, rows, few[0], 1)
    order = np.argsort(-scales)
    nearest(
        codes, scales, rows, few[0], few[1], order, scales, *coded_query(rows[0]), rows[0],
        1, 1, 1, 1,
    )  # fmt: skip


def _halves(rows: F32) -> tuple[NDArray[np.intp], int]:
    """An order of the rows, and how many of it belong together; by 2-means."""
    one = rows[0]
    other = rows[np.argmin(rows @ one)]
    for _ in range(_TURNS):
        nearer = rows @ (one - other) >= 0
        if nearer.all() or not nearer.any():
            break
        one, other = _unit(rows[nearer].sum(axis=0)), _unit(rows[~nearer].sum(axis=0))
    lean = rows @ (one - other)
    least = int(_LEAST * len(rows))
    n = int(np.clip(np.count_nonzero(lean >= 0), least, len(rows) - least))
    return np.argsort(-lean, kind="stable"), n


def _unit(vector: F32) -> F32:
    unit: F32 = vector / max(float(np.linalg.norm(vector)), 1e-12)
    return unit


@free_kernel
def _place(
    rows: F32, labels: Slots, counts: Slots, centres: F32, slots: Slots,
    new: Labels, vectors: F32, at: int, size: int,
) -> tuple[int, int]:  # fmt: skip
    """Put vectors from `at` on into their cells: the next one's number, and the cell that is full."""
    dim = vectors.shape[1]
    for i in range(at, len(new)):
        cell, most = 0, np.float32(-2)
        for c in range(len(centres)):
            sim = np.float32(0)
            for j in range(dim):
                sim += centres[c, j] * vectors[i, j]
            if sim > most:
                cell, most = c, sim
        if counts[cell] == size:
            return i, cell
        slot = cell * size + counts[cell]
        rows[slot] = vectors[i]
        labels[slot] = new[i]
        slots[new[i]] = slot
        counts[cell] += 1
    return len(new), -1
