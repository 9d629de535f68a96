"""The live index: a vector can be found when `upsert` returns, a removed one never again.

New rows stand in an exact tail, which is searched beside the HNSW graph and drained into it in slices
so short that queries hardly wait. Graphs that fill up or silt up are rebuilt beside the serving one
(`index_updater.rebuild`). Durations are measured here; nothing depends on the time of day.
"""

import logging
import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from contracts.batch import Ids
from contracts.settings import IndexSettings
from index_updater.exact import View, best, exact_search, first_view, tail_search
from index_updater.generation import EXACT_BELOW, Generation, capacity_for
from index_updater.graph import F32, Labels
from index_updater.rebuild import Rebuild
from index_updater.rwlock import SharedLock
from index_updater.vectors import last_of_each, unit_halves, unit_query, unit_rows

_log = logging.getLogger(__name__)
_FULL: Final = 0.8  # of the graph's capacity: the rest is what comes during the rebuild
_CHURN: Final = 0.05  # of new rows, before low recall is a reason to rebuild (again)
_BULK_ROWS: Final = 512  # a slice while nobody has searched yet
_REBUILD_ROWS: Final = 64  # ~10 ms of one core
_MARKS: Final = 256  # ~0.2 ms
_REST_S: Final = 0.0003  # between slices, so that waiting queries get in
_IDLE_S: Final = 1.0
_ROW_S: Final = 150e-6  # first guess of what an insertion costs; measured from then on


class LiveIndex:
    """HNSW that is written while it is read. Every method may be called by any thread.

    Args:
        dim: of the vectors.
        settings: `HEADRACE_INDEX__*`.
        capacity: rows of the first graph; it grows.
        generation: rows and graph to begin with; `restore` gives them.
    """

    def __init__(
        self,
        dim: int,
        settings: IndexSettings,
        capacity: int = 10_000,
        generation: Generation | None = None,
    ) -> None:
        self.dim, self.rebuilds = dim, 0
        self._settings = settings
        self._smallest = max(capacity, EXACT_BELOW) if generation is None else EXACT_BELOW
        self._view = first_view(
            generation or Generation.empty(dim, self._smallest, settings), settings.tail_rows
        )
        self._lock = SharedLock()  # queries share the graph
        self._writing = threading.RLock()  # one upsert, removal or swap at a time
        self._graphing = threading.Lock()  # taken after `_writing`: one drain or snapshot at a time
        self._rebuilding = threading.Lock()
        self._rebuild: Rebuild | None = None
        self._row_s, self._searched, self._recall_low = _ROW_S, False, False
        self._wake, self._stop = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None

    def __len__(self) -> int:
        """Rows that can be found."""
        return len(self._view.generation.table)

    @property
    def tail_rows(self) -> int:
        """Rows searched exactly, not in the graph yet."""
        view = self._view
        return view.n - min(view.generation.drained, view.n)

    @property
    def tombstone_ratio(self) -> float:
        """Dead share of the graph."""
        return self._view.generation.tombstone_ratio

    def ids(self) -> Ids:
        """(len(self),) all that can be found, in no particular order."""
        view = self._view
        return view.generation.rows.ids[: view.n][view.alive(np.arange(view.n))]

    def upsert(self, ids: Ids, vectors: F32) -> None:
        """Add or replace; can be found when this returns. Of a repeated id the last counts.

        Args:
            ids: (n,) int64.
            vectors: (n, d); their direction counts, in half precision.

        Raises:
            ValueError: on another dimension, NaN, infinity or zero; nothing was inserted.
        """
        ids = np.ascontiguousarray(ids, np.int64)
        ids, halves = last_of_each(ids, unit_halves(vectors, ids, self.dim))
        with self._writing:
            generation = self._view.generation
            old = generation.table.get(ids).astype(np.int64)
            same = (old >= 0) & (generation.rows.halves[old] == halves).all(axis=1)
            if not same.all():
                self._write(ids[~same], halves[~same], old[~same])
        self._wake.set()
        self._relieve()

    def remove(self, ids: Ids) -> None:
        """Take out; never returned again. Unknown ids are passed over."""
        with self._writing:
            view = self._view
            found = np.unique(view.generation.table.get(np.asarray(ids, np.int64)))
            labels = found[found >= 0].astype(np.int64)
            if not len(labels):
                return
            view.generation.table.drop(view.generation.rows.ids[labels])
            view.generation.kill(labels, view.epoch + 1)
            self._view = View(view.generation, view.tail, view.base, view.n, view.epoch + 1)
            view.generation.bury(labels)
        self._wake.set()

    def search(self, query: F32, k: int) -> tuple[Ids, F32]:
        """(m,) ids and (m,) cosines, best first, m <= k; fewer only when fewer are there.

        Raises:
            ValueError: on a query of another dimension, with NaN or infinity, or zero.
        """
        self._searched = True
        view, labels, sims = self._near(unit_query(query, self.dim), max(k, 0))
        return view.generation.rows.ids[labels], np.minimum(sims, np.float32(1))

    def search_exact(self, query: F32, k: int) -> tuple[Ids, F32]:
        """As `search`, by comparing with every row."""
        view = self._view
        ((labels, sims),) = exact_search(view, unit_query(query, self.dim)[None], max(k, 0))
        return view.generation.rows.ids[labels], np.minimum(sims, np.float32(1))

    def recall(self, queries: F32, k: int) -> float:
        """Mean share of the exact k best that `search` finds, for (m, d) queries; 1.0 if empty.

        What is found counts by its cosine, so that ties do not look like misses. A value below
        `recall_floor` makes `maintain` rebuild, if there was churn since the last rebuild.
        """
        if not len(queries) or k <= 0 or not len(self):
            return 1.0
        units = np.stack([unit_query(q, self.dim) for q in queries])
        view, shares = self._view, []
        for query, (_, exact) in zip(units, exact_search(view, units, k), strict=True):
            _, _, sims = self._near(query, k, view)
            if len(exact):
                shares.append(np.count_nonzero(sims >= exact[-1] - 1e-6) / len(exact))
        value = float(np.mean(shares)) if shares else 1.0
        self._recall_low = value < self._settings.recall_floor
        return value

    def maintain(self) -> bool:
        """One bounded slice of work: drain, mark, rebuild; whether there was any."""
        drained = self._drain_slice()
        return self._rebuild_slice() or drained

    def start(self) -> None:
        """Maintain in a thread of its own, until `close`."""
        self._stop.clear()
        self._thread = threading.Thread(target=self._run, name="live-index", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread."""
        self._stop.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """While inside, nothing is written: for a consistent copy. Queries go on."""
        with self._writing, self._graphing:
            yield

    def state(self) -> dict[str, NDArray[Any]]:
        """The rows, for a snapshot. To be called inside `frozen`, with `save_graph`."""
        return self._view.generation.state(self._view.n, self._view.epoch)

    def save_graph(self, path: Path) -> None:
        """Write the graph. Holds the GIL: in a child process only, or where nobody is served."""
        self._view.generation.graph.save(path)

    @classmethod
    def restore(
        cls, state: Mapping[str, NDArray[Any]], graph: Path, settings: IndexSettings
    ) -> "LiveIndex":
        """The index of `state` and the file of `save_graph`."""
        generation = Generation.restore(state, graph, settings)
        return cls(state["halves"].shape[1], settings, generation=generation)

    def _write(self, ids: Ids, halves: NDArray[np.float16], old: Labels) -> None:
        """Append rows whose ids had the labels `old` (-1 none), and let searches see both at once."""
        view = self._view
        rows, table = view.generation.rows, view.generation.table
        if rows.room < len(ids):
            with self._graphing:  # a drain writes into these arrays
                rows.grow(len(ids))
        floats = unit_rows(halves.astype(np.float32))
        tail, base = self._tail_with(view, floats)
        labels = rows.append(ids, halves)
        replaced = old[old >= 0]
        view.generation.kill(replaced, view.epoch + 1)
        table.put(ids, labels.astype(np.int32))
        self._view = View(view.generation, tail, base, rows.n, view.epoch + 1)
        if len(replaced):
            view.generation.bury(replaced)

    def _tail_with(self, view: View, floats: F32) -> tuple[F32, int]:
        """The tail's array, and its first label, after `floats` were put behind row n."""
        tail, base, end = view.tail, view.base, view.n - view.base
        if end + len(floats) > len(tail):
            base = view.generation.drained
            kept = view.tail[base - view.base : end]
            size = 2 * max(self._settings.tail_rows, len(kept) + len(floats))
            tail, end = np.empty((size, self.dim), np.float32), len(kept)
            tail[:end] = kept
        tail[end : end + len(floats)] = floats
        return tail, base

    def _near(self, query: F32, k: int, view: View | None = None) -> tuple[View, Labels, F32]:
        """The view that was searched (the newest one), the k best labels in it and their cosines."""
        fetch = k
        while True:
            self._lock.acquire_shared()
            try:
                seen = view or self._view
                generation, drained = seen.generation, seen.generation.drained
                if seen.n <= EXACT_BELOW or not k:
                    break
                fetch = max(fetch, k + min(generation.unmarked, 3 * k))
                labels, sims = generation.graph.search(query, fetch)
            finally:
                self._lock.release_shared()
            alive = seen.alive(labels)
            if np.count_nonzero(alive) < k and len(labels) == fetch:
                fetch *= 4  # many died that are not marked yet
                continue
            drained = min(drained, seen.n)
            late, their = tail_search(seen, drained, query, k)
            labels = np.concatenate([labels[alive], late])
            return seen, *best(labels, np.concatenate([sims[alive], their]), k)
        seen = view or self._view
        ((labels, sims),) = exact_search(seen, query[None], k)
        return seen, labels, sims

    def _drain_slice(self) -> bool:
        """Some of the tail into the graph; whether there was something to do and room for it."""
        rows = self._slice_rows()
        with self._graphing:
            generation = self._view.generation
            if not generation.killed and (not self.tail_rows or not generation.graph.room):
                return False
            with self._lock.alone():
                started = time.perf_counter()
                threads = 1 if self._searched else os.cpu_count() or 1
                before = generation.graph.added
                taken = generation.drain(self._view.epoch, rows, threads)
                added = generation.graph.added - before
                took = time.perf_counter() - started
                marked = generation.mark(_MARKS)
            if added and threads == 1:
                self._row_s += 0.1 * (took / added - self._row_s)
        return bool(taken or marked)

    def _slice_rows(self) -> int:
        if not self._searched:
            return _BULK_ROWS
        pause_s = self._settings.pause_ms / 1000
        if self.tail_rows < self._settings.tail_rows // 2:
            pause_s /= 4  # short pauses, more of them, while there is no hurry
        return max(1, int(pause_s / self._row_s))

    def _relieve(self) -> None:
        """A writer that is faster than the draining does some of it itself."""
        alone = self._thread is None
        while self.tail_rows > self._settings.tail_rows:
            if not (self.maintain() if alone else self._drain_slice()):
                return
            if self._searched and not alone:
                time.sleep(_REST_S)

    def _rebuild_slice(self) -> bool:
        if not self._rebuilding.acquire(blocking=False):
            return False
        try:
            if self._rebuild is None:
                if not self._due():
                    return False
                live = len(self)
                capacity = max(self._smallest, capacity_for(live))
                _log.info("rebuilding the index: %d live rows, room for %d", live, capacity)
                self._rebuild = Rebuild(self._view, live, capacity, self._settings)
            rows = _REBUILD_ROWS if self._searched else 8 * _BULK_ROWS
            threads = 1 if self._searched else os.cpu_count() or 1
            if self._rebuild.advance(self._view, rows, threads) <= self._settings.tail_rows // 2:
                with self._writing:
                    self._view = self._rebuild.finish(self._view, self._settings.tail_rows)
                self._rebuild, self._recall_low = None, False
                self.rebuilds += 1
            return True
        finally:
            self._rebuilding.release()

    def _due(self) -> bool:
        view = self._view
        generation = view.generation
        if view.n >= _FULL * generation.graph.capacity:
            return True
        if view.n <= EXACT_BELOW:
            return False
        churned = view.n - generation.born >= _CHURN * generation.born
        return generation.tombstone_ratio >= self._settings.rebuild_tombstones or (
            self._recall_low and churned
        )

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                busy = self.maintain()
            except Exception:  # the thread has to outlive it: the tail keeps what is written right
                _log.exception("maintenance of the index")
                busy = False
            if not busy:
                self._wake.wait(_IDLE_S)
                self._wake.clear()
            elif self._searched:
                time.sleep(_REST_S)
