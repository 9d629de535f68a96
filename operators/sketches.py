"""For each of many rows the keys that weigh most, decayed, in a fixed number of slots.

Misra-Gries (1982): where more keys than slots come together, the weight of the first one that finds
no room is taken from all. A key's weight is never too large, and too small by at most the row's
decayed total over (slots + 1); such tables can be summed (Agarwal et al. 2012). Up to `slots` keys a
row, everything is exact.

What comes in lies in a log and is worked in each time that the log is full, never at the end of a
batch: so the tables are the same however the events are cut into batches.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from contracts.batch import Ids, Mask, Rows, nth_in_group
from operators.decay import F64, fade
from operators.mixing import paired

Times = NDArray[np.int64]
_NOTHING: Final = 1e-9  # people; rounding leaves crumbs where two equal weights cancel


@dataclass(slots=True, eq=False)
class Tables:
    """Slots of n rows.

    Attributes:
        keys: (n, slots) int64, 0 free. Filled slots come first.
        weights: (n, slots) float64 at time `at_ms`.
        at_ms: (n,) int64.
    """

    keys: Ids
    weights: F64
    at_ms: Times

    @classmethod
    def empty(cls, n: int, slots: int) -> "Tables":
        """So many rows of nothing."""
        return cls(np.zeros((n, slots), np.int64), np.zeros((n, slots)), np.zeros(n, np.int64))

    def take(self, rows: Rows) -> "Tables":
        """A copy of some rows."""
        return Tables(self.keys[rows], self.weights[rows], self.at_ms[rows])

    def put(self, rows: Rows, of: "Tables") -> None:
        """Overwrite some rows."""
        self.keys[rows], self.weights[rows], self.at_ms[rows] = of.keys, of.weights, of.at_ms


@dataclass(frozen=True, slots=True, eq=False)
class Log:
    """Additions of weight 1, in the order of the events: row, key, time."""

    rows: Rows
    keys: Ids
    ts_ms: Times

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, which: Rows | Mask | slice) -> "Log":
        """Some of them."""
        return Log(self.rows[which], self.keys[which], self.ts_ms[which])

    def then(self, more: "Log") -> "Log":
        """These and then more."""
        return Log(
            np.concatenate([self.rows, more.rows]),
            np.concatenate([self.keys, more.keys]),
            np.concatenate([self.ts_ms, more.ts_ms]),
        )


def no_log() -> Log:
    """An empty one."""
    return Log(np.empty(0, np.intp), np.empty(0, np.int64), np.empty(0, np.int64))


def work_in(tables: Tables, log: Log, half_life_ms: float) -> Rows:
    """Add a log to the tables, in place; the rows that were touched."""
    if not len(log):
        return np.empty(0, np.intp)
    touched = np.unique(log.rows)
    newest = tables.at_ms.copy()
    np.maximum.at(newest, log.rows, log.ts_ms)
    tables.weights[touched] *= fade(newest[touched] - tables.at_ms[touched], half_life_ms)[:, None]
    tables.at_ms[touched] = newest[touched]
    weight = fade(newest[log.rows] - log.ts_ms, half_life_ms)
    _, first, same = np.unique(paired(log.rows, log.keys), return_index=True, return_inverse=True)
    rows, keys = log.rows[first], log.keys[first]
    _add(tables, rows, keys, np.bincount(same, weight, len(first)).astype(np.float64))
    return touched


def _add(tables: Tables, rows: Rows, keys: Ids, weights: F64) -> None:
    """Add different (row, key) pairs at the rows' own times."""
    slots = tables.keys.shape[1]
    place = tables.keys[rows] == keys[:, None]
    known = place.any(axis=1)
    tables.weights[rows[known], place[known].argmax(axis=1)] += weights[known]
    rows, keys, weights = rows[~known], keys[~known], weights[~known]
    if not len(rows):
        return
    used = np.count_nonzero(tables.keys[rows], axis=1)
    slot = used + nth_in_group(rows)
    full = np.isin(rows, rows[slot >= slots])
    room = ~full
    tables.keys[rows[room], slot[room]] = keys[room]
    tables.weights[rows[room], slot[room]] = weights[room]
    if full.any():
        _squeeze(tables, rows[full], keys[full], weights[full])


def _squeeze(tables: Tables, rows: Rows, keys: Ids, weights: F64) -> None:
    """Misra-Gries for the rows in which not all keys find room."""
    slots = tables.keys.shape[1]
    which, compact = np.unique(rows, return_inverse=True)
    row = np.r_[np.repeat(np.arange(len(which)), slots), compact]
    key = np.r_[tables.keys[which].ravel(), keys]
    weight = np.r_[tables.weights[which].ravel(), weights]
    order = np.lexsort((-weight, row))
    row, key, weight = row[order], key[order], weight[order]
    nth = np.arange(len(row)) - np.searchsorted(row, row)
    no_room = np.zeros(len(which))
    no_room[row[nth == slots]] = weight[nth == slots]
    weight = weight - no_room[row]
    keep = (nth < slots) & (weight > _NOTHING)
    tables.keys[which] = 0
    tables.weights[which] = 0.0
    tables.keys[which[row[keep]], nth[keep]] = key[keep]
    tables.weights[which[row[keep]], nth[keep]] = weight[keep]


class Sketches:
    """Tables with their log. Rows are given and renumbered by the owner.

    Attributes:
        tables: of as many rows as `reserve` was told, or more; of none before the first key, so that
            an owner without keys (what was shown has none) pays nothing for them.
        log: what is not worked in yet.
        dirty: (n,) rows whose tables have changed since the owner last cleared it.
        settled: how often the log was worked in.
    """

    def __init__(self, slots: int, half_life_ms: float, log_size: int) -> None:
        self.slots, self.half_life_ms, self.log_size = slots, half_life_ms, log_size
        self.tables = Tables.empty(0, slots)
        self.log = no_log()
        self.dirty = np.zeros(0, np.bool_)
        self.settled = 0
        self._rows = 0

    def reserve(self, n: int) -> None:
        """Have at least n rows."""
        self._rows = max(n, self._rows)
        if len(self.dirty):
            self.grow()

    def grow(self) -> None:
        """Have the tables of all rows: somebody has keys."""
        have = len(self.dirty)
        if self._rows <= have:
            return
        size = max(256, 1 << (self._rows - 1).bit_length())
        grown = Tables.empty(size, self.slots)
        grown.put(np.arange(have), self.tables)
        self.tables, self.dirty = grown, np.r_[self.dirty, np.zeros(size - have, np.bool_)]

    def add(self, more: Log) -> None:
        """Additions in the order of the events."""
        if len(more):
            self.grow()
        while len(self.log) + len(more) >= self.log_size:
            room = self.log_size - len(self.log)
            self.log, more = self.log.then(more.take(slice(room))), more.take(slice(room, None))
            self.settle()
        if len(more):
            self.log = self.log.then(more)

    def settle(self) -> None:
        """Work in the log now. Only at points that the log of events itself determines."""
        self.dirty[work_in(self.tables, self.log, self.half_life_ms)] = True
        self.log = no_log()
        self.settled += 1

    def keep(self, rows: Rows) -> None:
        """Keep these rows only: row rows[i] becomes row i."""
        self.settle()
        self._rows = len(rows)
        if not len(self.dirty):
            return
        dirty = self.dirty[rows]
        kept = self.tables.take(rows)
        self.tables, self.dirty = Tables.empty(0, self.slots), np.zeros(0, np.bool_)
        self.grow()
        self.tables.put(np.arange(len(rows)), kept)
        self.dirty[: len(rows)] = dirty

    def view(self, rows: Rows) -> Tables:
        """(m,) rows as they are with the log worked in; the state stays as it is."""
        if not len(self.dirty):
            return Tables.empty(len(rows), self.slots)
        view = self.tables.take(rows)
        place = np.full(len(self.dirty), -1, np.intp)
        place[rows] = np.arange(len(rows))
        at = place[self.log.rows]
        of = self.log.take(at >= 0)
        work_in(view, Log(at[at >= 0], of.keys, of.ts_ms), self.half_life_ms)
        return view
