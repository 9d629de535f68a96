"""The live index: a vector can be found when `upsert` returns, a removed one never again.

New rows stand in an exact tail, which is searched beside the structure (cells, or an HNSW graph, both
called graph here) and drained into it in slices so short that queries hardly wait. Graphs that fill up
or silt up are rebuilt beside the serving one
(`index_updater.rebuild`), and the search effort follows the recall that is measured. Durations are
measured here; nothing depends on the time of day.
"""

import logging
import os
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from contracts.batch import Ids
from contracts.settings import IndexSettings
from index_updater.exact import RESTS, exact_search
from index_updater.generation import EXACT_BELOW, Generation, capacity_for
from index_updater.graph import F32
from index_updater.index_core import IndexCore
from index_updater.rebuild import Rebuild
from index_updater.recall import TUNED, likely_queries, raise_ef, tuned_k, weakest

_log = logging.getLogger(__name__)
_FULL: Final = 0.8  # of the graph's capacity: the rest is what comes during the rebuild
_CHURN: Final = 0.05  # of new rows, before low recall is a reason to rebuild (again)
_CHANGED: Final = 0.1  # of the graph, before effort is looked at again; 0.25 gave 0.971 in between
_BULK_ROWS: Final = 512  # a slice while nobody has searched yet
_REBUILD_ROWS: Final = 64  # ~10 ms of one core
_MARKS: Final = 256  # ~0.2 ms
_REST_S: Final = 0.0003  # between slices, so that waiting queries get in
_IDLE_S: Final = 1.0
_WAIT_S: Final = 30.0  # of a writer for the swap to a larger index, at most
_ROW_S: Final = 150e-6  # first guess of what an insertion costs; measured from then on


class LiveIndex(IndexCore):
    """An index that is written while it is read. Every method may be called by any thread.

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
        self._smallest = EXACT_BELOW if generation else max(capacity, EXACT_BELOW)
        super().__init__(generation or Generation.empty(dim, self._smallest, settings), settings)
        self.rebuilds = 0
        self._rebuilding = threading.Lock()
        self._rebuild: Rebuild | None = None
        self._row_s = _ROW_S
        self._looked_at = self._view.generation.changes
        self._filling = False
        self._exhausted = False  # more effort did not bring the recall back
        self._wake, self._stop = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None

    def upsert(self, ids: Ids, vectors: F32) -> None:
        """As in `IndexCore`; a writer that is faster than the upkeep does some of it itself.

        Where there is no room before a rebuild is through, it waits for that: the tail stays short.
        """
        super().upsert(ids, vectors)
        self._wake.set()
        alone, until = self._thread is None, time.monotonic() + _WAIT_S
        while max(self.tail_rows, self.tombstones_left) > self.settings.tail_rows:
            busy = self.maintain() if alone else self._drain_slice()
            if not busy and (alone or time.monotonic() > until or self._stop.is_set()):
                return
            if not busy or (self._searched and not alone):
                time.sleep(_REST_S)

    def remove(self, ids: Ids) -> None:
        """As in `IndexCore`."""
        super().remove(ids)
        self._wake.set()

    def maintain(self) -> bool:
        """One slice of work: drain, mark, rebuild, tune; whether there was any."""
        drained = self._drain_slice()
        return self._rebuild_slice() or drained

    def fill_beside(self) -> None:
        """Nobody asks here yet, but this process serves: work in short slices, and do not tune.

        An index that grows from empty would be tuned each time that it has become a tenth larger.
        """
        self._searched = self._filling = True

    def take_over(self) -> None:
        """Somebody will ask from now on: find the effort that it takes."""
        if self._filling:
            with self._rebuilding:
                self._filling = False
                self._tune()

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

    @classmethod
    def restore(
        cls, state: Mapping[str, NDArray[Any]], graph: Path, settings: IndexSettings
    ) -> "LiveIndex":
        """The index of `state` and the file of `save_graph`."""
        generation = Generation.restore(state, graph, settings)
        return cls(state["halves"].shape[1], settings, generation=generation)

    @property
    def tombstones_left(self) -> int:
        """Dead rows that a search still meets, because upkeep has not come to them."""
        return self._view.generation.unmarked

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
                marked = generation.mark(max(_MARKS, taken))  # a search reads past the dead
            if added and threads == 1:
                self._row_s += 0.1 * (took / added - self._row_s)
        return bool(taken or marked)

    def _slice_rows(self) -> int:
        if not self._searched:
            return _BULK_ROWS
        pause_s = self.settings.pause_ms / 1000
        if self.tail_rows < self.settings.tail_rows // 2:
            pause_s /= 4  # short pauses, more of them, while there is no hurry
        return max(1, int(pause_s / self._row_s))

    def _rebuild_slice(self) -> bool:
        if not self._rebuilding.acquire(blocking=False):
            return False
        try:
            if self._rebuild is None:
                tuned = not self._filling and self._tune()
                if not self._due():
                    return tuned
                live = len(self)
                capacity = max(self._smallest, capacity_for(live))
                _log.info("rebuilding the index: %d live rows, room for %d", live, capacity)
                self._rebuild = Rebuild(self._view, live, capacity, self.settings)
            rows = _REBUILD_ROWS if self._searched else 8 * _BULK_ROWS
            threads = 1 if self._searched else os.cpu_count() or 1
            if self._rebuild.advance(self._view, rows, threads) <= self.settings.tail_rows // 2:
                self._rebuild.tune()
                with self._writing:
                    self._view = self._rebuild.finish(self._view, self.settings.tail_rows)
                self._rebuild, self._exhausted = None, False
                self._looked_at = self._view.generation.changes
                self.rebuilds += 1
            return True
        finally:
            self._rebuilding.release()

    def _tune(self) -> bool:
        """Raise the effort if recall was low or the graph has changed; whether it was looked at.

        What counts is what the graph holds: rows of the tail are found whatever the effort is.
        """
        view, changes = self._view, self._view.generation.changes
        changed = changes - self._looked_at >= _CHANGED * len(self)
        changed &= view.generation.drained > EXACT_BELOW
        if self._missed is None and not changed:
            return False
        asked = [self._missed] if self._missed is not None else []
        self._missed, self._looked_at, k = None, changes, tuned_k(self.settings)
        likely = likely_queries(view, view.n, TUNED)
        if not len(likely):
            return False
        queries = np.concatenate([*asked, self._recent_queries(), likely])
        exact = exact_search(view, queries, k, RESTS if self._searched else 0.0)
        graph = view.generation.graph

        def recall_at(ef: int) -> float:
            return weakest(self._shares(view, queries, exact, k, ef))

        graph.ef = raise_ef(graph.ef, self.settings, recall_at)
        self._exhausted = recall_at(graph.ef) < self.settings.recall_floor
        return True

    def _due(self) -> bool:
        view = self._view
        generation = view.generation
        if view.n >= _FULL * generation.graph.capacity:
            return True
        if view.n <= EXACT_BELOW:
            return False
        churned = view.n - generation.born >= _CHURN * generation.born
        return generation.tombstone_ratio >= self.settings.rebuild_tombstones or (
            self._exhausted and churned
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
