"""The columns behind the statistics board: one row a video, one a (video, source), linked.

One writer, readers without a lock: a row is filled before the table of ids points to it, and arrays
that grow or are swept are made anew and swapped in one step. A reader may see a video between two of
its numbers; each number by itself is whole.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from contracts.batch import Ids, Rows, nth_in_group
from contracts.stats_rows import COUNTRIES, SOURCE_BYTES, StatsColumns
from operators.board_reads import chains
from operators.decay import fade
from operators.id_table import IdTable
from operators.intake import intake
from operators.mixing import paired

NO_ROW: Final = -1
_SMALLEST: Final = 1024
_ROOM: Final = 2**31 - 2

VIDEO_COLUMNS: Final[dict[str, Any]] = {
    "video": np.int64,
    "at_ms": np.int64,
    "counts": (np.float32, 5),
    "trend": np.float32,
    "head": np.int32,  # its first partial
}
PARTIAL_COLUMNS: Final[dict[str, Any]] = {
    "key": np.int64,  # of video and source
    "row": np.int32,  # of the video; NO_ROW when forgotten
    "next": np.int32,
    "version": np.int64,  # of the state; an older one never replaces it
    "at_ms": np.int64,
    "counts": (np.float32, 5),
    "trend": np.float32,
    "country": (np.uint16, COUNTRIES),
    "near": (np.float32, COUNTRIES),
}
Columns = dict[str, NDArray[Any]]


class BoardRows:
    """Sums over the sources, kept when a partial state comes."""

    def __init__(self, count_half_life_ms: float, trend_half_life_ms: float) -> None:
        self.count_half_life_ms = count_half_life_ms
        self.trend_half_life_ms = trend_half_life_ms
        self.videos, self.partials = _empty(VIDEO_COLUMNS, 0), _empty(PARTIAL_COLUMNS, 0)
        self.neighbours: list[bytes] = []  # of each partial, packed NEIGHBOUR
        self.n, self.parts, self.dead = 0, 0, 0
        self._table, self._keys = IdTable(), IdTable()

    @property
    def live(self) -> int:
        """Videos of which something is known."""
        return len(self._table)

    def find(self, ids: Ids) -> Rows:
        """(m,) row of each video, NO_ROW where nothing is known."""
        return self._table.get(ids).astype(np.intp)

    def apply(self, states: StatsColumns) -> None:
        """Take over states; of a video and source the newest counts, of equally new ones the last."""
        keys = part_keys(states.rows["video"], states.rows["source"])
        newest = self._newest(keys, states.rows["version"])
        if len(newest):
            self._apply(states.take(newest), keys[newest])

    def _newest(self, keys: Ids, versions: Ids) -> Rows:
        """Which states are the newest of their key, and not older than what is there."""
        order = np.lexsort((versions, keys))
        last = order[np.r_[keys[order][1:] != keys[order][:-1], True]] if len(keys) else order
        at = self._keys.get(keys[last]).astype(np.intp)
        there = at != NO_ROW
        older = np.zeros(len(last), np.bool_)
        older[there] = versions[last[there]] < self.partials["version"][at[there]]
        return last[~older]

    def _apply(self, states: StatsColumns, keys: Ids) -> None:
        rows, new_videos = intake(self._table, self.n, states.rows["video"], _ROOM)
        parts, new_keys = intake(self._keys, self.parts, keys, _ROOM)
        self.videos = _grown(self.videos, VIDEO_COLUMNS, self.n, len(new_videos))
        self.partials = _grown(self.partials, PARTIAL_COLUMNS, self.parts, len(new_keys))
        self.neighbours.extend([b""] * len(new_keys))
        added = slice(self.n, self.n + len(new_videos))
        self.videos["video"][added], self.videos["head"][added] = new_videos, NO_ROW
        fresh = parts >= self.parts
        self._fill(parts, states)
        self.partials["key"][parts], self.partials["row"][parts] = keys, rows
        self._link(rows[fresh], parts[fresh])
        self._sum(np.unique(rows))
        self._keys.put(new_keys, np.arange(self.parts, self.parts + len(new_keys), dtype=np.int32))
        self.parts += len(new_keys)
        self._table.put(new_videos, np.arange(added.start, added.stop, dtype=np.int32))
        self.n = added.stop

    def _fill(self, parts: Rows, states: StatsColumns) -> None:
        for name in ("version", "at_ms", "counts", "trend", "country", "near"):
            self.partials[name][parts] = states.rows[name]
        for part, beside in zip(parts.tolist(), states.neighbours, strict=True):
            self.neighbours[part] = beside

    def _link(self, rows: Rows, parts: Rows) -> None:
        """Put partials at the head of their video's list, one of each video at a time."""
        nth = nth_in_group(rows)
        for turn in range(int(nth.max(initial=-1)) + 1):
            row, part = rows[nth == turn], parts[nth == turn]
            self.partials["next"][part] = self.videos["head"][row]
            self.videos["head"][row] = part

    def _sum(self, rows: Rows) -> None:
        """Counts and trend of videos from their partials, at the time of the newest."""
        whose, part = self.all_parts(rows)
        of = self.partials
        at_ms = np.zeros(len(rows), np.int64)
        np.maximum.at(at_ms, whose, of["at_ms"][part])
        aged = at_ms[whose] - of["at_ms"][part]
        counts = of["counts"][part] * fade(aged, self.count_half_life_ms)[:, None]
        flat = np.bincount(
            (whose[:, None] * 5 + np.arange(5)).ravel(), counts.ravel(), 5 * len(rows)
        )
        trend = np.bincount(
            whose, of["trend"][part] * fade(aged, self.trend_half_life_ms), len(rows)
        )
        self.videos["at_ms"][rows] = at_ms
        self.videos["counts"][rows] = np.maximum(flat.reshape(-1, 5), 0)  # unlikes alone
        self.videos["trend"][rows] = trend

    def all_parts(self, rows: Rows) -> tuple[Rows, Rows]:
        """(p,) index into `rows` and (p,) partial, for every partial of these videos."""
        return chains(self.videos["head"], self.partials["next"], np.asarray(rows, np.intp))

    def remove(self, keys: Ids) -> None:
        """Some sources know nothing of some videos any more (`part_keys`)."""
        parts = np.unique(self._keys.get(keys).astype(np.intp))
        parts = parts[parts != NO_ROW]
        rows = np.unique(self.partials["row"][parts])
        whose, part = self.all_parts(rows)
        left = ~np.isin(part, parts)
        self._relink(rows, whose[left], part[left])
        self._blank(parts)
        self._sum(rows)
        self._drop(rows[np.bincount(whose[left], minlength=len(rows)) == 0])

    def _relink(self, rows: Rows, whose: Rows, part: Rows) -> None:
        """Make `part`, of the videos rows[whose], the partials of these videos, in this order."""
        order = np.argsort(whose, kind="stable")
        whose, part = whose[order], part[order]
        starts = np.searchsorted(whose, np.arange(len(rows) + 1))
        behind = np.r_[part[1:], NO_ROW][: len(part)]
        some = np.flatnonzero(starts[:-1] < starts[1:])
        behind[starts[some + 1] - 1] = NO_ROW
        head = np.full(len(rows), NO_ROW, np.intp)
        head[some] = part[starts[some]]
        self.partials["next"][part] = behind
        self.videos["head"][rows] = head

    def _drop(self, rows: Rows) -> None:
        """Nothing is known of these videos any more."""
        self._table.drop(self.videos["video"][rows])
        self.dead += len(rows)

    def _blank(self, parts: Rows) -> None:
        self._keys.drop(self.partials["key"][parts])
        for name in ("counts", "trend", "near"):
            self.partials[name][parts] = 0
        self.partials["row"][parts] = NO_ROW
        for part in parts.tolist():
            self.neighbours[part] = b""
        self.dead += len(parts)

    def swept(self) -> "BoardRows":
        """The same without the rows of what was removed."""
        out = BoardRows(self.count_half_life_ms, self.trend_half_life_ms)
        rows = np.flatnonzero(self.find(self.videos["video"][: self.n]) == np.arange(self.n))
        parts = np.flatnonzero(self.partials["row"][: self.parts] != NO_ROW)
        out.videos = {name: column[rows] for name, column in self.videos.items()}
        out.partials = {name: column[parts] for name, column in self.partials.items()}
        out.n, out.parts = len(rows), len(parts)
        new_row, new_part = _renumbered(rows, self.n), _renumbered(parts, self.parts)
        out.videos["head"] = new_part[out.videos["head"]]
        out.partials["next"] = new_part[out.partials["next"]]
        out.partials["row"] = new_row[out.partials["row"]]
        out.neighbours = [self.neighbours[part] for part in parts.tolist()]
        out._table.put(out.videos["video"], np.arange(out.n, dtype=np.int32))
        out._keys.put(out.partials["key"], np.arange(out.parts, dtype=np.int32))
        return out


def part_keys(videos: Ids, sources: NDArray[np.bytes_]) -> Ids:
    """(n,) one hash of each video and source's name; `sources` is (n,) of `ROW`'s."""
    words = np.ascontiguousarray(sources).view(("<i8", SOURCE_BYTES // 8))
    keys = videos.astype(np.uint64)
    for word in words.T:
        keys = paired(keys, word)
    out: Ids = keys.view(np.int64)
    return out


def _empty(columns: dict[str, Any], n: int) -> Columns:
    return {name: np.zeros(n, np.dtype(of)) for name, of in columns.items()}


def _grown(old: Columns, columns: dict[str, Any], n: int, more: int) -> Columns:
    """The same columns, or larger copies when `more` rows do not fit."""
    have = len(next(iter(old.values())))
    if n + more <= have:
        return old
    new = _empty(columns, max(_SMALLEST, 1 << (n + more - 1).bit_length()))
    for name, column in old.items():
        new[name][:n] = column[:n]
    return new


def _renumbered(kept: Rows, n: int) -> NDArray[np.int32]:
    """(n + 1,) new number of each old row; the last, which NO_ROW points to, is NO_ROW."""
    out = np.full(n + 1, NO_ROW, np.int32)
    out[kept] = np.arange(len(kept), dtype=np.int32)
    return out
