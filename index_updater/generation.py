"""One graph with the rows that it is made of, by label. A rebuild makes the next generation.

Labels count up: a changed vector is a new label and the death of the old one. A label's death is
the epoch at which it died, so that a search which began before it still sees the old state whole.
"""

from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from contracts.batch import Ids
from contracts.settings import IndexSettings
from index_updater.cells import Cells
from index_updater.graph import F32, Graph, Labels
from index_updater.vectors import unit_rows
from operators.id_table import IdTable

ALIVE: Final = np.iinfo(np.int64).max
PLAIN, GRAPHED, MARKED = (
    0,
    1,
    2,
)  # where a row is: not in the graph, in it, in it and marked deleted
# Exact search of so few rows costs about what the graph does (0.12 and 0.10 ms at 64-d), and finds
# what no path leads to.
EXACT_BELOW: Final = 1024


class Rows:
    """Arrays by label, with room; unused room is not resident.

    Attributes:
        ids: int64 external id.
        halves: (capacity, d) float16. The graph holds what `floats` makes of them, so that exact
            search and graph agree.
        died: int64 epoch of death, `ALIVE` before.
        place: uint8, `PLAIN`, `GRAPHED` or `MARKED`.
    """

    def __init__(self, dim: int, capacity: int) -> None:
        self.n = 0
        self.ids: Ids = np.empty(capacity, np.int64)
        self.halves: NDArray[np.float16] = np.empty((capacity, dim), np.float16)
        self.died: Ids = np.empty(capacity, np.int64)
        self.place: NDArray[np.uint8] = np.zeros(capacity, np.uint8)

    def append(self, ids: Ids, halves: NDArray[np.float16]) -> Labels:
        """The labels of new rows; there has to be `room` for them."""
        end = self.n + len(ids)
        self.ids[self.n : end], self.halves[self.n : end] = ids, halves
        self.died[self.n : end], self.place[self.n : end] = ALIVE, PLAIN
        labels = np.arange(self.n, end)
        self.n = end
        return labels

    def floats(self, labels: Labels | slice) -> F32:
        """(n, d) float32 of unit length (half precision is not quite)."""
        return unit_rows(self.halves[labels].astype(np.float32))

    @property
    def room(self) -> int:
        return len(self.ids) - self.n

    def grow(self, more: int) -> None:
        """Make room for `more` rows in larger arrays. Readers of the old ones keep them."""
        capacity = max(self.n + more, 2 * len(self.ids))
        for name in ("ids", "halves", "died", "place"):
            old: NDArray[Any] = getattr(self, name)
            new: NDArray[Any] = np.empty((capacity, *old.shape[1:]), old.dtype)
            new[: self.n] = old[: self.n]
            setattr(self, name, new)


class Generation:
    """Rows [0, drained) have been offered to the graph; [drained, rows.n) are the tail.

    Attributes:
        table: external id -> label, live ones only.
        killed: labels that died and are not marked in the graph yet, in arrays.
        born: rows at its birth: what came later is churn.
    """

    def __init__(self, rows: Rows, graph: Graph | Cells, expected: int = 0) -> None:
        self.rows, self.graph, self.table = rows, graph, IdTable(expected)
        self.killed: deque[Labels] = deque()
        self._killed_rows, self._seen_rows = 0, 0  # each written by one thread only
        self.drained = 0
        self.born = 0

    @property
    def tombstone_ratio(self) -> float:
        """Dead share of the graph."""
        return (self.graph.marked + self.unmarked) / max(self.graph.added, 1)

    @property
    def changes(self) -> int:
        """Rows that came into the graph or died, ever: how far it is from what it was."""
        return self.drained + self._killed_rows

    @property
    def unmarked(self) -> int:
        """Dead rows that a search of the graph may still return."""
        return self._killed_rows - self._seen_rows

    def kill(self, labels: Labels, epoch: int) -> None:
        """These die at this epoch, which is still to come: a search of now sees them."""
        self.rows.died[labels] = epoch

    def bury(self, labels: Labels) -> None:
        """These have died: the epoch of their death is out."""
        self._killed_rows += len(labels)
        self.killed.append(labels)

    @classmethod
    def empty(
        cls, dim: int, capacity: int, settings: IndexSettings, expected: int = 0
    ) -> "Generation":
        """Nothing yet, with room for `capacity` rows; about `expected` will live."""
        return cls(Rows(dim, capacity), structure(settings)(dim, capacity, settings), expected)

    def drain(self, epoch: int, most: int, threads: int) -> int:
        """Put up to `most` rows of the tail into the graph; how many left the tail.

        Those that are dead at this epoch are left out. No search of this generation may run meanwhile.
        """
        rows = self.rows
        end = min(self.drained + min(most, self.graph.room), rows.n)
        labels = np.arange(self.drained, end)
        labels = labels[rows.died[self.drained : end] > epoch]
        self.graph.add(labels, rows.floats(labels), threads)
        rows.place[labels] = GRAPHED
        taken, self.drained = end - self.drained, end
        return taken

    def mark(self, most: int) -> int:
        """Mark up to about `most` of the dead in the graph; how many were looked at.

        A dead row of the tail needs none: `drain` leaves it out. No search may run meanwhile.
        """
        place, seen = self.rows.place, 0
        while self.killed and seen < most:
            labels = self.killed.popleft()
            if len(labels) > most:
                self.killed.appendleft(labels[most:])
                labels = labels[:most]
            for label in labels[place[labels] == GRAPHED].tolist():
                self.graph.mark(label)
                place[label] = MARKED
            self._seen_rows += len(labels)
            seen += len(labels)
        return seen

    def state(self, n: int, epoch: int) -> dict[str, NDArray[Any]]:
        """The rows below n as of an epoch, for a snapshot; the graph is saved beside."""
        rows = self.rows
        return {
            "ids": rows.ids[:n],
            "halves": rows.halves[:n],
            "place": rows.place[:n],
            "alive": rows.died[:n] > epoch,
            "drained": np.array([self.drained]),
            "ef": np.array([self.graph.ef]),
        }

    @classmethod
    def restore(
        cls, state: Mapping[str, NDArray[Any]], graph: Path, settings: IndexSettings
    ) -> "Generation":
        """The generation of `state` and of the graph's file."""
        (n, dim), alive, place = state["halves"].shape, state["alive"], state["place"]
        capacity = capacity_for(n)
        generation = cls(
            Rows(dim, capacity),
            structure(settings)(dim, capacity, settings, graph),
            int(alive.sum()),
        )
        rows = generation.rows
        labels = rows.append(state["ids"], state["halves"])
        rows.place[:n] = place
        generation.graph.marked = int(np.count_nonzero(place == MARKED))
        generation.graph.ef = max(settings.ef_search, int(state["ef"][0]))
        generation.drained, generation.born = int(state["drained"][0]), n
        generation.table.put(state["ids"][alive], labels[alive].astype(np.int32))
        generation.kill(labels[~alive], 0)
        generation.bury(labels[~alive & (place != MARKED)])
        return generation


def structure(settings: IndexSettings) -> type[Graph | Cells]:
    """What makes and loads a graph of the kind that the settings name."""
    return Cells if settings.structure == "cells" else Graph


def capacity_for(live: int) -> int:
    """Rows of a graph for so many live ones. Room costs ~45 bytes a row until it is used.

    Small graphs get much, so that an index that fills from empty is rebuilt few times.
    """
    factor = 8 if live < 100_000 else 4 if live < 500_000 else 2
    return max(EXACT_BELOW, factor * live)
