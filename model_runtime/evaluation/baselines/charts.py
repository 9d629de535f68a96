"""Without a look at the person: by lot, by all-time popularity, by what is watched now."""

import numpy as np
from numpy.typing import NDArray

from contracts.units import DAY_MS, HOUR_MS
from model_runtime.evaluation.queries import Queries
from model_runtime.evaluation.world import World


class ByLot:
    """Every video alike."""

    name = "random"

    def __init__(self, seed: int = 0) -> None:
        self._rng = np.random.default_rng(seed)
        self._videos = 0

    def prepare(self, world: World, queries: Queries, learned: NDArray[np.bool_]) -> None:
        """Nothing is learned."""
        self._videos = world.videos

    def scores(self, queries: Queries) -> NDArray[np.float32]:
        """(q, m) drawn anew for each query."""
        return self._rng.random((len(queries), self._videos), np.float32)


class Charts:
    """How many people took to each video, ever or within a window; it goes on counting.

    Within a window, videos that nobody took to are in the order of all-time popularity.

    Args:
        window_ms: None for all time.
    """

    def __init__(self, window_ms: int | None = None) -> None:
        self._window_ms = window_ms
        self.name = "most popular" if window_ms is None else f"trending, {_told(window_ms)}"

    def prepare(self, world: World, queries: Queries, learned: NDArray[np.bool_]) -> None:
        """Count what is learned from; what follows is counted as the queries pass it."""
        people = world.people
        order = np.argsort(people.row, kind="stable")
        order = order[world.positive[order]]
        self._row, self._item = people.row[order], people.item[order]
        self._time = world.arrived_ms[order]
        self._counted, self._dropped = 0, 0
        counts = np.bincount(people.item[learned & world.positive], minlength=world.videos)
        self._before = counts.astype(np.float64)
        self._later = ~learned[order]
        self._ever = self._before.copy()
        self._window = np.zeros(world.videos)

    def scores(self, queries: Queries) -> NDArray[np.float32]:
        """(q, m) counts."""
        out = np.empty((len(queries), len(self._ever)), np.float32)
        for i, (rows, at_ms) in enumerate(
            zip(queries.rows.tolist(), queries.at_ms.tolist(), strict=True)
        ):
            self._count_up_to(rows)
            if self._window_ms is None:
                out[i] = self._ever
            else:
                self._drop_before(at_ms - self._window_ms)
                out[i] = self._window + self._ever / (self._ever.sum() + 1)
        return out

    def _count_up_to(self, rows: int) -> None:
        end = int(np.searchsorted(self._row, rows, "left"))
        if end <= self._counted:
            return
        new = slice(self._counted, end)
        np.add.at(self._window, self._item[new], 1.0)
        np.add.at(self._ever, self._item[new][self._later[new]], 1.0)
        self._counted = end

    def _drop_before(self, at_ms: int) -> None:
        end = int(np.searchsorted(self._time[: self._counted], at_ms, "left"))
        if end > self._dropped:
            np.subtract.at(self._window, self._item[self._dropped : end], 1.0)
            self._dropped = end


def _told(window_ms: int) -> str:
    if window_ms % DAY_MS == 0:
        days = window_ms // DAY_MS
        return f"{days} day{'s' if days > 1 else ''}"
    hours = window_ms // HOUR_MS
    return f"{hours} hour{'s' if hours > 1 else ''}"
