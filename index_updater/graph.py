"""The one place that talks to hnswlib, and the traps of version 0.8.0 (read in its source, and tried).

- `add_items` beside `knn_query` is not safe: the caller keeps them apart.
- `knn_query` raises when it finds fewer than k rows, and takes NaN without a word.
- `num_threads` is the machine's core count unless given, in every call.
- Only `add_items` and `knn_query` release the GIL: `save_index` of a million rows holds it for a
  second, so it is called in a child process (`index_updater.snapshot`).
- Rows marked deleted are walked through, not returned; new rows are not linked to them.
- The effort `ef` is a number of the graph, not of a call, but a search keeps at least the k rows that
  it is asked for: so it is asked for as many rows as its effort, and `ef` stays at 1. Measured at
  100k and 1M x 64-d: the same rows in the same time to 3 %, at efforts from 600 to 2,400.
"""

from pathlib import Path
from typing import Any, Final

import hnswlib
import numpy as np
from numpy.typing import NDArray

from contracts.settings import IndexSettings
from index_updater.ranking import best

F32 = NDArray[np.float32]
Labels = NDArray[np.int64]
_SHRINK: Final = 0.75


class Graph:
    """HNSW over unit vectors by inner product; labels are ours, ascending, never used twice."""

    def __init__(
        self, dim: int, capacity: int, settings: IndexSettings, path: Path | None = None
    ) -> None:
        """An empty graph, or the one that `save` wrote to `path`."""
        self.capacity, self.added, self.marked = capacity, 0, 0
        self._index: Any = hnswlib.Index("ip", dim)
        if path is None:
            self._index.init_index(
                capacity, M=settings.m, ef_construction=settings.ef_construction, random_seed=7
            )
        else:
            self._index.load_index(str(path), max_elements=capacity)
            self.added = self._index.get_current_count()
        self._index.set_ef(1)
        self.ef = settings.ef_search  # rows that a search keeps, unless it says otherwise

    @property
    def live(self) -> int:
        """Rows that a search can return."""
        return self.added - self.marked

    @property
    def room(self) -> int:
        return self.capacity - self.added

    def add(self, labels: Labels, vectors: F32, threads: int) -> None:
        """Insert; no search may run meanwhile. The caller sees to `room`."""
        if len(labels):
            self._index.add_items(vectors, labels, num_threads=threads)
            self.added += len(labels)

    def mark(self, label: int) -> None:
        """This label, once, is not to be returned any more."""
        self._index.mark_deleted(label)
        self.marked += 1

    def search(self, query: F32, k: int, ef: int = 0) -> tuple[Labels, F32]:
        """(m,) labels and cosines, best first, ties by label, m <= k; `ef`: with another effort."""
        kept = min(max(k, ef or self.ef), self.live) if k > 0 else 0
        while kept > 0:
            try:
                labels, distances = self._index.knn_query(query, k=kept, num_threads=1)
            except RuntimeError:  # rows that no path leads to are not found: take what is
                kept = int(kept * _SHRINK)
                continue
            return best(labels[0].astype(np.int64), 1.0 - distances[0], k)
        return np.empty(0, np.int64), np.empty(0, np.float32)

    def save(self, path: Path) -> None:
        """Write the graph. Holds the GIL throughout.

        Raises:
            OSError: it is not whole on disk. hnswlib itself says nothing of a disk that is full.
        """
        self._index.save_index(str(path))
        written, whole = path.stat().st_size, self._index.index_file_size()
        if written != whole:
            raise OSError(f"{path}: {written} bytes of {whole} were written")
