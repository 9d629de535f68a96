"""A fresh graph of what lives, made beside the one that serves, and swapped in by one assignment.

It gives room to grow and gets rid of tombstones. What is written meanwhile is caught up with: new
rows of the old generation are copied in their order, and deaths are read off before the swap.
"""

from dataclasses import replace

import numpy as np

from contracts.settings import IndexSettings
from index_updater.exact import View, exact_search, first_view
from index_updater.generation import ALIVE, EXACT_BELOW, Generation
from index_updater.graph import Labels
from index_updater.recall import TUNED, likely_queries, raise_ef, shares_found, tuned_k, weakest


class Rebuild:
    """One rebuild, advanced in slices by one thread."""

    def __init__(self, view: View, live: int, capacity: int, settings: IndexSettings) -> None:
        dim = view.tail.shape[1]
        self._settings = settings
        self._new = Generation.empty(dim, capacity, settings, expected=live)
        self._copied = 0
        self._sources: list[Labels] = []

    def advance(self, view: View, most: int, threads: int) -> int:
        """Copy and link some rows; how many of the old generation's rows are left."""
        self._copy(view, most)
        self._new.drain(0, most, threads)
        return view.n - self._copied

    def tune(self) -> None:
        """Find the effort that the new graph takes, while nobody else searches it."""
        new, settings = self._new, self._settings
        view = first_view(new, 1)
        queries, k = likely_queries(view, view.n, TUNED), tuned_k(settings)
        if view.n <= EXACT_BELOW or not len(queries):
            return
        exact = exact_search(view, queries, k)

        def recall_at(ef: int) -> float:
            return weakest(shares_found(exact, [new.graph.search(q, k, ef) for q in queries]))

        new.graph.ef = raise_ef(settings.ef_search, settings, recall_at)

    def finish(self, view: View, tail_rows: int) -> View:
        """The view to serve from now on. No write may happen between `view` and the swap."""
        self._copy(view, view.n - self._copied)
        new, rows = self._new, self._new.rows
        old = view.generation.rows
        source = np.concatenate([*self._sources, np.empty(0, np.int64)])
        dead = np.flatnonzero(old.died[source] != ALIVE)
        gone = rows.ids[dead]
        new.table.drop(gone[new.table.get(gone) == dead])
        new.kill(dead, 0)
        new.bury(dead)
        new.born = rows.n
        return replace(first_view(new, tail_rows), epoch=view.epoch + 1)

    def _copy(self, view: View, most: int) -> None:
        old, end = view.generation.rows, min(self._copied + most, view.n)
        labels = np.arange(self._copied, end)
        labels = labels[old.died[self._copied : end] == ALIVE]
        self._copied = end
        if not len(labels):
            return
        rows = self._new.rows
        if rows.room < len(labels):
            rows.grow(len(labels))
        ids = old.ids[labels]
        self._new.table.put(ids, rows.append(ids, old.halves[labels]).astype(np.int32))
        self._sources.append(labels)
