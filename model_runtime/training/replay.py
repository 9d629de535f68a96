"""A log folded page by page: what each page's columns were when it was served."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Final

import numpy as np

from contracts.batch import Column
from contracts.events import to_ms
from model_runtime.training.log import Log
from model_runtime.training.shown import Shown
from model_runtime.training.stream_state import StreamState

_MOST_ROWS: Final = 2048  # folded at once


class Replay:
    """Folds what arrived before each page, as late as can be.

    Events wait until somebody who did one of them is shown a page: then all are folded at once. What
    arrived in the very millisecond of a page is not part of it.

    Args:
        state: nothing was folded in it yet.
        stats_every_ms: how old statistics may be when a page sees them.
    """

    def __init__(self, state: StreamState, log: Log, shown: Shown, stats_every_ms: int) -> None:
        self._state, self._log, self._shown = state, log, shown
        self._stats_every_ms = stats_every_ms
        self._before = np.searchsorted(log.rows["broker_ms"], shown.at_ms, "left")
        self._profiles = profiles_by_time(log, shown.users)
        self._newest = np.full(len(shown.users), -1)  # a person's newest event that is noted
        self._noted = self._folded = self._told = self._counted = 0
        self._flushed_ms: int | None = None

    def columns(self, page: slice) -> Mapping[str, Column]:
        """All columns of the videos of one page; pages come in the order of `shown`."""
        shown, start = self._shown, page.start
        now_ms, who, due = int(shown.at_ms[start]), int(shown.user[start]), int(self._before[start])
        self._newest[self._log.rows["user"][self._noted : due]] = np.arange(self._noted, due)
        self._noted = due
        self._tell(now_ms)
        flush = self._flushed_ms is None or now_ms - self._flushed_ms >= self._stats_every_ms
        if flush or self._newest[who] >= self._folded or due - self._folded > _MOST_ROWS:
            self._fold(due)
        if flush:
            self._flush(start, now_ms)
        surface = shown.surfaces[shown.surface[start]]
        columns = self._state.columns(who, shown.item[page], now_ms, surface)
        self._state.there[who] = True  # a page leaves a state, if there was none
        return columns

    def _tell(self, now_ms: int) -> None:
        while self._told < len(self._profiles) and self._profiles[self._told][0] <= now_ms:
            user = self._profiles[self._told][1]
            self._state.tell(user, self._log.profiles[self._shown.users[user]])
            self._told += 1

    def _fold(self, due: int) -> None:
        rows = range(self._folded, due)
        texts = self._log.queries
        queries = {row - rows.start: texts[row] for row in rows if row in texts} if texts else {}
        self._state.fold(self._log.rows[rows.start : rows.stop], queries)
        self._folded = due

    def _flush(self, start: int, now_ms: int) -> None:
        """Statistics up to now: of events that are folded, and of the pages before."""
        shown, new = self._shown, slice(self._counted, start)
        self._state.show(shown.user[new], shown.item[new], shown.arrived_ms[new])
        self._counted, self._flushed_ms = start, now_ms
        self._state.flush()


def pages(shown: Shown) -> Iterator[slice]:
    """Rows that were shown together, in order."""
    edges = np.flatnonzero(np.diff(shown.page)) + 1
    for a, b in pairwise([0, *edges.tolist(), len(shown.page)]):
        yield slice(a, b)


def profiles_by_time(log: Log, users: Sequence[str]) -> list[tuple[int, int]]:
    """(time, person) of each profile, by time; one without a date was there before everything."""
    place = {user: i for i, user in enumerate(users)}
    told = ((user, profile.created_at or 0) for user, profile in log.profiles.items())
    return sorted((to_ms(at), place[user]) for user, at in told if user in place)
