"""Rows kept in the order of a 64-bit key while rows come, change and go: a sorted base and a short log.

The arrays hold candidates: what a row's key is now is asked of the owner, so an entry that is out of
date is simply passed over.
"""

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

Keys = NDArray[np.uint64]
Numbers = NDArray[np.int32]
NO_KEY: Final = np.uint64(2**64 - 1)  # of a row that is not live
_LOG: Final = 4096  # entries searched in full; merging them into 1M takes 2-5 ms


class _Part:
    """A sorted base with its log. `n` is raised after the entries are written."""

    def __init__(self, keys: Keys, rows: Numbers) -> None:
        self.keys, self.rows = keys, rows
        self.log_keys, self.log_rows = np.empty(_LOG, np.uint64), np.empty(_LOG, np.int32)
        self.n = 0


class RowOrder:
    """One writer, readers without a lock.

    Args:
        key_of: (n,) rows -> (n,) their keys of this moment, `NO_KEY` where dead.
    """

    def __init__(self, key_of: Callable[[Numbers], Keys]) -> None:
        self._key_of = key_of
        self._part = _Part(np.empty(0, np.uint64), np.empty(0, np.int32))
        self._stale = 0

    def start(self, keys: Keys, rows: Numbers) -> None:
        """Begin anew with these rows; those without a key are left out."""
        order = np.argsort(keys, kind="stable")
        order = order[: np.searchsorted(keys[order], NO_KEY)]
        self._part, self._stale = _Part(keys[order], rows[order]), 0

    def add(self, keys: Keys, rows: Numbers) -> None:
        """Rows that have these keys from now on."""
        for start in range(0, len(rows), _LOG):
            self._add(keys[start : start + _LOG], rows[start : start + _LOG])

    def outdated(self, n: int) -> None:
        """So many entries lost their key: the base is swept when they are many."""
        self._stale += n

    def first(self, low: Keys, high: Keys, n: int) -> Numbers:
        """Unsorted rows with a key in [low[i], high[i]): the n smallest of a range are among them.

        Of many ranges each gives its 2n smallest candidates; those out of date are lost from it.
        Ranges ascend and do not overlap.
        """
        most = 2 * n + 64
        while True:
            rows, cut = self._within(low, high, most)
            if len(rows) >= n or not cut:
                return rows
            most *= 4

    def _within(self, low: Keys, high: Keys, most: int) -> tuple[Numbers, bool]:
        """Rows of the first `most` entries of each range, and whether a range has more of them."""
        part = self._part
        start, end = np.searchsorted(part.keys, low), np.searchsorted(part.keys, high)
        cut = end - start > most
        end = np.where(cut, start + most, end)
        if cut.any():  # what the log holds beyond the cut would displace what the base holds there
            high = np.where(cut, part.keys[np.minimum(end, len(part.keys) - 1)], high)
        count = end - start
        base = np.repeat(start - np.cumsum(count) + count, count) + np.arange(count.sum())
        log_keys = part.log_keys[: part.n]
        of = np.searchsorted(low, log_keys, side="right") - 1
        inside = (of >= 0) & (log_keys < high[of])
        rows = np.concatenate([part.rows[base], part.log_rows[: len(log_keys)][inside]])
        keys = np.concatenate([part.keys[base], log_keys[inside]])
        return np.unique(rows[self._key_of(rows) == keys]), bool(cut.any())

    def _add(self, keys: Keys, rows: Numbers) -> None:
        part = self._part
        if part.n + len(rows) > _LOG:
            part = self._merged(part)
        part.log_keys[part.n : part.n + len(rows)] = keys
        part.log_rows[part.n : part.n + len(rows)] = rows
        part.n += len(rows)
        self._part = part

    def _merged(self, part: _Part) -> _Part:
        keys, rows = part.keys, part.rows
        if self._stale * 8 > len(keys):
            good = self._key_of(rows) == keys
            keys, rows, self._stale = keys[good], rows[good], 0
        order = np.argsort(part.log_keys[: part.n], kind="stable")
        new_keys, new_rows = part.log_keys[order], part.log_rows[order]
        places = np.searchsorted(keys, new_keys)
        return _Part(np.insert(keys, places, new_keys), np.insert(rows, places, new_rows))
