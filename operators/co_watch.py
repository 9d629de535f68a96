"""Which videos one person watched in one session: the last few of each viewer, and the pairs.

A bounded table of viewers; when it is full the quarter that was away longest is dropped, which loses
the pairs that their next video would have made. Every operation is cut where the table fills, not
where a batch ends.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from contracts.batch import Ids, Rows
from operators.id_table import IdTable
from operators.intake import intake

SESSION_MS: Final = 30 * 60_000
LAST: Final = 4  # videos of a session that a new one is paired with
VIEWER: Final = np.dtype([("video", "<i8", LAST), ("ts_ms", "<i8", LAST)])  # oldest first
_DROPPED: Final = 4  # one of so many

Times = NDArray[np.int64]


class CoWatch:
    """Viewers of one source partition.

    Attributes:
        dirty: (capacity,) viewers changed since `saved`.
        gone: viewers dropped since `saved`.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.gone: set[int] = set()
        self._start(np.empty(0, np.int64), np.empty(0, VIEWER))

    def __len__(self) -> int:
        return self._n

    def _start(self, users: Ids, last: NDArray[np.void]) -> None:
        self._n = len(users)
        self._table = IdTable(2 * self._n)
        self._table.put(users, np.arange(self._n, dtype=np.int32))
        self._users, self._last = users.copy(), last.copy()
        self.dirty = np.zeros(self._n, np.bool_)

    def pairs(self, users: Ids, videos: Ids, ts_ms: Times) -> tuple[Rows, Ids]:
        """Remember views, in the order of the log; what each is paired with.

        Returns:
            (m,) index of the view and (m,) the other video of the same person within `SESSION_MS`,
            in the order of the views.
        """
        at: list[Rows] = []
        others: list[Ids] = []
        start = 0
        while start < len(users):
            rows, new = intake(self._table, self._n, users[start:], self.capacity - self._n)
            self._append(new)
            stop = len(rows)
            part = slice(start, start + stop)
            view, other = self._pair(rows, videos[part], ts_ms[part])
            at.append(view + start)
            others.append(other)
            start += stop
            if start < len(users):
                self._drop_idle()
        if not at:
            return np.empty(0, np.intp), np.empty(0, np.int64)
        return np.concatenate(at), np.concatenate(others)

    def _append(self, users: Ids) -> None:
        n = self._n + len(users)
        if n > len(self._users):
            more = min(max(2 * n, 256), self.capacity) - len(self._users)
            self._users = np.r_[self._users, np.zeros(more, np.int64)]
            self._last = np.r_[self._last, np.zeros(more, VIEWER)]
            self.dirty = np.r_[self.dirty, np.zeros(more, np.bool_)]
        self._users[self._n : n] = users
        self._last[self._n : n] = np.zeros(1, VIEWER)
        self._table.put(users, np.arange(self._n, n, dtype=np.int32))
        self._n = n

    def _pair(self, rows: Rows, videos: Ids, ts_ms: Times) -> tuple[Rows, Ids]:
        """Each view with the `LAST` before it of the same viewer.

        The stored views of each viewer and then the new ones lie side by side, so the k-th before
        a view is k places to the left of it.
        """
        order = np.argsort(rows, kind="stable")
        who, start, count = np.unique(rows[order], return_index=True, return_counts=True)
        group = np.repeat(np.arange(len(who)), count)
        place = np.arange(len(rows)) + LAST * (group + 1)
        lined_video = np.zeros(len(rows) + LAST * len(who), np.int64)
        lined_ts = np.zeros_like(lined_video)
        stored = (start + LAST * np.arange(len(who)))[:, None] + np.arange(LAST)
        lined_video[stored], lined_ts[stored] = self._last["video"][who], self._last["ts_ms"][who]
        lined_video[place], lined_ts[place] = videos[order], ts_ms[order]
        before = place[:, None] - np.arange(1, LAST + 1)
        other, near = lined_video[before], np.abs(lined_ts[before] - ts_ms[order][:, None])
        paired = (other != 0) & (other != videos[order][:, None]) & (near <= SESSION_MS)
        newest = (start + count + LAST * np.arange(len(who)))[:, None] + np.arange(LAST)
        self._last["video"][who], self._last["ts_ms"][who] = lined_video[newest], lined_ts[newest]
        self.dirty[who] = True
        back = np.empty_like(order)
        back[order] = np.arange(len(order))
        return np.nonzero(paired[back])[0], other[back][paired[back]]

    def _drop_idle(self) -> None:
        users, last, dirty = self._users[: self._n], self._last[: self._n], self.dirty[: self._n]
        order = np.lexsort((users, last["ts_ms"].max(axis=1)))
        drop = max(1, self._n // _DROPPED)
        self.gone.update(users[order[:drop]].tolist())
        kept = np.sort(order[drop:])
        self._start(users[kept], last[kept])
        self.dirty[:] = dirty[kept]

    def changed(self) -> tuple[Ids, NDArray[np.void], list[int]]:
        """Viewers changed since `saved` with what is known of them, and viewers dropped."""
        rows = np.flatnonzero(self.dirty[: self._n])
        gone = np.array(sorted(self.gone), np.int64)
        return self._users[rows], self._last[rows], gone[self._table.get(gone) < 0].tolist()

    def saved(self) -> None:
        """What `changed` said is stored."""
        self.dirty[:] = False
        self.gone.clear()

    def fill(self, users: Ids, last: NDArray[np.void]) -> None:
        """Take over stored viewers; beyond the capacity those that were away longest are dropped."""
        self._start(users, last)
        while self._n > self.capacity:
            self._drop_idle()
