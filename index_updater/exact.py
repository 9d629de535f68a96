"""Search by comparing with every row: the fresh tail, small indexes, and the measure of recall."""

import time
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from index_updater.generation import Generation
from index_updater.graph import F32, Labels
from index_updater.ranking import best

RESTS: Final = 4.0  # beside searches: a fifth of a core
_BLOCK: Final = 16_384  # rows turned into float32 at once: 4 MB at 64 dimensions


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """What one search sees: a state of the index at one instant.

    Attributes:
        tail: float32 rows of labels [base, n), and room behind them.
        n: labels below it exist.
        epoch: deaths up to it have happened.
    """

    generation: Generation
    tail: F32
    base: int
    n: int
    epoch: int

    def alive(self, labels: Labels) -> NDArray[np.bool_]:
        """(n,) whether each label is there and lives, in this view."""
        return np.asarray((labels < self.n) & (self.generation.rows.died[labels] > self.epoch))


def tail_search(view: View, drained: int, query: F32, k: int) -> tuple[Labels, F32]:
    """The k best of the labels [drained, n), which are not in the graph yet."""
    labels = np.arange(drained, view.n)
    keep = view.generation.rows.died[drained : view.n] > view.epoch
    sims = view.tail[drained - view.base : view.n - view.base] @ query
    return best(labels[keep], sims[keep], k)


def exact_search(view: View, queries: F32, k: int, rests: float = 0.0) -> list[tuple[Labels, F32]]:
    """For each of (m, d) queries the k best live labels and their cosines.

    Args:
        rests: sleep so many times as long as each block of rows took. A look at a million rows takes a
            core for most of a second: searches meanwhile were late, and that once in twenty seconds.
    """
    found = [(np.empty(0, np.int64), np.empty(0, np.float32))] * len(queries)
    rows = view.generation.rows
    for start in range(0, view.n, _BLOCK):
        end, began = min(start + _BLOCK, view.n), time.perf_counter()
        alive = rows.died[start:end] > view.epoch
        sims = queries @ rows.floats(slice(start, end)).T  # (m, block)
        for i, (before, their) in enumerate(found):
            # Most of a block is worse than what was found already, and is not sorted.
            least = their[-1] if k and len(their) == k else -np.inf
            near = np.flatnonzero((sims[i] >= least) & alive)
            labels, near_sims = np.concatenate([before, start + near]), sims[i, near]
            found[i] = best(labels, np.concatenate([their, near_sims]), k)
        if rests:
            time.sleep(rests * (time.perf_counter() - began))
    return found


def first_view(generation: Generation, tail_rows: int) -> View:
    """The view of a generation that nothing was written to yet."""
    rows = generation.rows
    rest = rows.floats(slice(generation.drained, rows.n))
    tail = np.empty((2 * max(tail_rows, len(rest)), rest.shape[1]), np.float32)
    tail[: len(rest)] = rest
    return View(generation, tail, generation.drained, rows.n, 0)
