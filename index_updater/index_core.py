"""What can be asked of and written to the live index; its upkeep is in `index_updater.live_index`.

A search sees one state of the index, from one instant: it reads `_view` once, and a write makes its
rows, their predecessors' death and the new view known in one assignment.
"""

import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from contracts.batch import Ids
from contracts.settings import IndexSettings
from index_updater.exact import RESTS, View, exact_search, first_view, tail_search
from index_updater.generation import EXACT_BELOW, Generation
from index_updater.graph import F32, Labels
from index_updater.ranking import best
from index_updater.recall import PROBED, Found, likely_queries, shares_found
from index_updater.rwlock import SharedLock
from index_updater.vectors import last_of_each, unit_halves, unit_query, unit_rows

_RECENT: Final = 16  # searches that the effort is tuned by


class IndexCore:
    """Rows, graph and tail with the locks that keep them right."""

    def __init__(self, generation: Generation, settings: IndexSettings) -> None:
        self.dim = generation.rows.halves.shape[1]
        self.settings = settings
        self._view = first_view(generation, settings.tail_rows)
        self._lock = SharedLock()  # queries share the graph
        self._writing = threading.RLock()  # one upsert, removal or swap at a time
        self._graphing = threading.Lock()  # taken after `_writing`: one drain or snapshot at a time
        self._searched = False
        self._missed: F32 | None = None  # queries whose recall was below the floor
        self._recent: deque[F32] = deque(maxlen=_RECENT)

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

    @property
    def effort(self) -> int:
        """The `ef` of a search: what it takes to keep the recall."""
        return self._view.generation.graph.ef

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

    def search(self, query: F32, k: int, effort: int = 0) -> tuple[Ids, F32]:
        """(m,) ids and (m,) cosines, best first, m <= k; fewer only when fewer are there.

        Args:
            effort: how much the search looks at before it gives up; 0: what it takes for any
                query. One that lies on a video, not between tastes, takes about k (docs/LOG.md).

        Raises:
            ValueError: on a query of another dimension, with NaN or infinity, or zero.
        """
        self._searched = True
        unit = unit_query(query, self.dim)
        if not effort:
            self._recent.append(unit)
        view, labels, sims = self._near(unit, max(k, 0), effort=effort)
        return view.generation.rows.ids[labels], np.minimum(sims, np.float32(1))

    def search_exact(self, query: F32, k: int) -> tuple[Ids, F32]:
        """As `search`, by comparing with every row."""
        view = self._view
        ((labels, sims),) = exact_search(view, unit_query(query, self.dim)[None], max(k, 0))
        return view.generation.rows.ids[labels], np.minimum(sims, np.float32(1))

    def recall(self, queries: F32, k: int, rests: float = 0.0) -> float:
        """Mean share of the exact k best that `search` finds, for (m, d) queries; 1.0 if empty.

        A value below `recall_floor` makes `maintain` raise the search effort or, if that is not
        enough and there was churn since the last rebuild, rebuild. `rests` as of `exact_search`.
        """
        if not len(queries):
            return 1.0
        value = float(self.shares(queries, k, rests).mean())
        if value < self.settings.recall_floor:
            self._missed = np.stack([unit_query(q, self.dim) for q in queries[:_RECENT]])
        return value

    def probe(self, seed: int, k: int) -> float:
        """`recall` of what is likely to be asked: videos, and viewers' vectors, which are harder."""
        return self.recall(likely_queries(self._view, seed, PROBED), min(k, len(self)), RESTS)

    def shares(self, queries: F32, k: int, rests: float = 0.0) -> F32:
        """(m,) share of the exact k best found for each of (m, d) queries. The index learns nothing."""
        if k <= 0 or not len(self):
            return np.ones(len(queries), np.float32)
        units = np.array([unit_query(q, self.dim) for q in queries]).reshape(-1, self.dim)
        view = self._view
        found = [self._near(query, k, view)[1:] for query in units]
        return shares_found(exact_search(view, units, k, rests), found)

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
            size = 2 * max(self.settings.tail_rows, len(kept) + len(floats))
            tail, end = np.empty((size, self.dim), np.float32), len(kept)
            tail[:end] = kept
        tail[end : end + len(floats)] = floats
        return tail, base

    def _near(
        self, query: F32, k: int, view: View | None = None, effort: int = 0
    ) -> tuple[View, Labels, F32]:
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
                labels, sims = generation.graph.search(query, fetch, effort)
            finally:
                self._lock.release_shared()
            alive = seen.alive(labels)
            if np.count_nonzero(alive) < k and len(labels) == fetch:
                fetch *= 4  # many died that are not marked yet
                continue
            labels, sims = labels[alive][:k], sims[alive][:k]
            if drained < seen.n:
                late, their = tail_search(seen, drained, query, k)
                labels, sims = np.concatenate([labels, late]), np.concatenate([sims, their])
                labels, sims = best(labels, sims, k)
            return seen, labels, sims
        seen = view or self._view
        ((labels, sims),) = exact_search(seen, query[None], k)
        return seen, labels, sims

    def _shares(self, view: View, queries: F32, exact: Sequence[Found], k: int, effort: int) -> F32:
        """(m,) recall of the search of a view, by queries of which the exact best are known.

        What has died since the view cannot be found, however long a search goes on.
        """
        found = [self._near(query, k, view, effort)[1:] for query in queries]
        now = self._view.alive
        left = [(labels[now(labels)], sims[now(labels)]) for labels, sims in exact]
        return np.minimum(shares_found(left, found), np.float32(1))

    def _recent_queries(self) -> F32:
        """(m, d) of the last searches."""
        return np.array(list(self._recent), np.float32).reshape(-1, self.dim)
