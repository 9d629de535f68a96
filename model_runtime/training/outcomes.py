"""What came of what was shown: events joined to the impression that they came of."""

from bisect import bisect_right
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from contracts.events import Action
from model_runtime.training.log import Log
from model_runtime.training.shown import Shown
from operators.signals import COMPLETE_SHARE

WITHIN_MS: Final = (
    3_600_000  # an event without a request is of the last page with its video, if so near
)
_EARLY_MS: Final = 10_000  # a watch that is given up before, and before a quarter, is a skip
_EARLY_SHARE: Final = 0.25


@dataclass(frozen=True, slots=True, eq=False)
class Outcomes:
    """Of n shown videos.

    Attributes:
        click, complete, like, skip, not_interested: (n,) bool. `complete` is nine tenths watched, in
            one go; a watch given up within ten seconds and before a quarter is a skip.
        watch_ms: (n,) int32 watched in all, -1 where nothing tells it.
        share: (n,) float32 watched share of the longest watch, NaN unknown.
    """

    click: NDArray[np.bool_]
    complete: NDArray[np.bool_]
    like: NDArray[np.bool_]
    skip: NDArray[np.bool_]
    not_interested: NDArray[np.bool_]
    watch_ms: NDArray[np.int32]
    share: NDArray[np.float32]


def outcomes(log: Log, shown: Shown) -> Outcomes:
    """What came of each row of `shown`."""
    event, row = _joined(log, shown)
    n, action = len(shown.item), log.rows["action"][event]
    share, watch = log.share[event], log.rows["watch_ms"][event]

    def any_of(which: NDArray[np.bool_]) -> NDArray[np.bool_]:
        out = np.zeros(n, np.bool_)
        out[row[which]] = True
        return out

    watched = action == Action.WATCH
    longest, total = np.full(n, -np.inf, np.float32), np.zeros(n, np.int64)
    np.fmax.at(longest, row[watched], share[watched])
    told = watched & (watch >= 0)
    np.add.at(total, row[told], watch[told])
    early = watched & (watch >= 0) & (watch < _EARLY_MS) & (share < _EARLY_SHARE)
    skipped = any_of((action == Action.SKIP) | early)
    clicked, completed = any_of(action == Action.CLICK), longest >= COMPLETE_SHARE
    return Outcomes(
        clicked,
        completed,
        any_of(action == Action.LIKE),
        skipped & ~completed,
        any_of(action == Action.NOT_INTERESTED),
        np.where(any_of(told), np.minimum(total, 2**31 - 1), -1).astype(np.int32),
        np.where(np.isfinite(longest), longest, np.float32(np.nan)),
    )


def _joined(log: Log, shown: Shown) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """(event, row of `shown`) pairs: by request where the event knows it, else by time."""
    by_request: dict[tuple[int, int], int] = {}
    by_person: dict[tuple[int, int], list[tuple[int, int]]] = {}
    columns = (shown.user, shown.item, shown.request, shown.at_ms)
    for row, (user, item, request, at) in enumerate(
        zip(*(c.tolist() for c in columns), strict=True)
    ):
        by_request[request, item] = row
        by_person.setdefault((user, item), []).append((at, row))
    pairs = []
    about = np.flatnonzero(log.item >= 0)
    events = (log.rows["user"], log.item, log.requests, log.rows["ts_ms"])
    for event, user, item, request, at in zip(
        about.tolist(), *(column[about].tolist() for column in events), strict=True
    ):
        if request:
            row = by_request.get((request, item), -1)
        else:
            row = _last(by_person.get((user, item), []), at)
        if row >= 0:
            pairs.append((event, row))
    joined = np.array(pairs, np.intp).reshape(-1, 2)
    return joined[:, 0], joined[:, 1]


def _last(pages: list[tuple[int, int]], at_ms: int) -> int:
    """The last page at or before a time, if it is near enough; else -1."""
    found = bisect_right(pages, (at_ms, 2**62)) - 1
    return pages[found][1] if found >= 0 and at_ms - pages[found][0] <= WITHIN_MS else -1
