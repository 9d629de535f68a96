"""Decayed counts, trend, countries and neighbours of the videos of one source partition.

A bounded table: when it is full, the quarter of the videos with the least activity is dropped, with
what was known of them. Sums are kept at each video's own time, the newest event that touched it, and
a batch is added in closed form.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from contracts.batch import Ids, Rows
from contracts.settings import StatsSettings
from contracts.units import HOUR_MS
from operators.decay import F64, fade
from operators.id_table import IdTable
from operators.intake import intake
from operators.sketches import Log, Sketches

IMPRESSIONS, CLICKS, COMPLETES, LIKES, SKIPS = range(5)
COUNTRIES: Final = 12  # a video's country is underestimated by at most 1/13 of its trend
NEIGHBOURS: Final = 24
_LOG_SIZE: Final = 16_384
_DROPPED: Final = 4  # one of so many
_SMALLEST: Final = 256

Times = NDArray[np.int64]
VIDEO: Final = np.dtype(
    [("video", "<i8"), ("at_ms", "<i8"), ("counts", "<f8", 5), ("trend", "<f8")]
)


@dataclass(frozen=True, slots=True, eq=False)
class Additions:
    """What a batch adds, in the order of the log.

    Attributes:
        videos, columns, weights, ts_ms: (c,) what is added to which count of which video, when.
        countries: (c,) uint16 where the row is a person's first click in a window, else 0.
        trends: (c,) 1 where the row counts for the trend, else 0.
        pair_at: (p,) index of the addition that a pair belongs to, rising.
        pair_other: (p,) the other video.
    """

    videos: Ids
    columns: Rows
    weights: F64
    ts_ms: Times
    countries: NDArray[np.uint16]
    trends: F64
    pair_at: Rows
    pair_other: Ids


class VideoTable:
    """Attributes: `rows` (capacity,) of `VIDEO`, of which `len(self)` are used; `dirty` likewise."""

    def __init__(self, settings: StatsSettings) -> None:
        self.capacity = settings.videos_per_partition
        self.count_half_life_ms = settings.count_half_life_h * HOUR_MS
        self.trend_half_life_ms = settings.trend_half_life_h * HOUR_MS
        self.countries = Sketches(COUNTRIES, self.trend_half_life_ms, _LOG_SIZE)
        self.neighbours = Sketches(NEIGHBOURS, self.count_half_life_ms, _LOG_SIZE)
        self.gone: set[int] = set()
        self._n = 0
        self._table = IdTable()
        self.rows = np.empty(0, VIDEO)
        self.dirty = np.zeros(0, np.bool_)

    def __len__(self) -> int:
        return self._n

    @property
    def videos(self) -> Ids:
        """(n,) ids; row i belongs to videos[i]."""
        ids: Ids = self.rows["video"][: self._n]
        return ids

    def find(self, videos: Ids) -> Rows:
        """(m,) row of each video, -1 where there is none."""
        return self._table.get(videos).astype(np.intp)

    def add(self, more: Additions) -> None:
        """Add a batch, in runs that end where the table is full."""
        start = 0
        while start < len(more.videos):
            rows, new = intake(self._table, self._n, more.videos[start:], self.capacity - self._n)
            self._append(new)
            part = slice(start, start + len(rows))
            self._add(rows, more, part)
            start = part.stop
            if start < len(more.videos):
                self.drop_weakest()

    def _add(self, rows: Rows, more: Additions, part: slice) -> None:
        ts_ms = more.ts_ms[part]
        low, high = np.searchsorted(more.pair_at, (part.start, part.stop))
        pair = more.pair_at[low:high] - part.start
        other = self.find(more.pair_other[low:high])
        known = other >= 0
        self._advance(np.r_[rows, other[known]], np.r_[ts_ms, ts_ms[pair][known]])
        counted = fade(self.rows["at_ms"][rows] - ts_ms, self.count_half_life_ms)
        recent = fade(self.rows["at_ms"][rows] - ts_ms, self.trend_half_life_ms)
        touched, at = np.unique(rows, return_inverse=True)
        flat = np.bincount(
            at * 5 + more.columns[part], counted * more.weights[part], 5 * len(touched)
        )
        self.rows["counts"][touched] += flat.reshape(-1, 5)
        self.rows["trend"][touched] += np.bincount(at, recent * more.trends[part], len(touched))
        self._add_keys(rows, more, part, pair, other)

    def _add_keys(self, rows: Rows, more: Additions, part: slice, pair: Rows, other: Rows) -> None:
        """Countries, and each pair in both directions."""
        ts_ms, country = more.ts_ms[part], more.countries[part]
        named = np.flatnonzero(country)
        self.countries.add(Log(rows[named], country[named].astype(np.int64), ts_ms[named]))
        owners = np.column_stack([rows[pair], other]).ravel()
        keys = np.column_stack([self.videos[other], self.videos[rows[pair]]]).ravel()
        both = Log(owners, keys, np.repeat(ts_ms[pair], 2))
        known = np.repeat(other >= 0, 2)  # of a dropped video nothing is known any more
        self.neighbours.add(both.take(known))

    def _advance(self, rows: Rows, ts_ms: Times) -> None:
        """Bring the rows that are touched to the time of their newest event."""
        touched, at = np.unique(rows, return_inverse=True)
        before = self.rows["at_ms"][touched]
        newest = before.copy()
        np.maximum.at(newest, at, ts_ms)
        aged = newest - before
        self.rows["counts"][touched] *= fade(aged, self.count_half_life_ms)[:, None]
        self.rows["trend"][touched] *= fade(aged, self.trend_half_life_ms)
        self.rows["at_ms"][touched] = newest
        self.dirty[touched] = True

    def _append(self, videos: Ids) -> None:
        n = self._n + len(videos)
        if n > len(self.rows):
            size = min(max(2 * n, _SMALLEST), max(self.capacity, n))
            rows, dirty = np.zeros(size, VIDEO), np.zeros(size, np.bool_)
            rows[: self._n], dirty[: self._n] = self.rows[: self._n], self.dirty[: self._n]
            self.rows, self.dirty = rows, dirty
        self.rows["video"][self._n : n] = videos
        self._table.put(videos, np.arange(self._n, n, dtype=np.int32))
        self.countries.reserve(n)
        self.neighbours.reserve(n)
        self._n = n

    def drop_weakest(self) -> None:
        """Make room. Strength is rounded, so that the order of additions cannot decide a tie."""
        rows = self.rows[: self._n]
        aged = rows["at_ms"].max() - rows["at_ms"]
        strength = np.abs(rows["counts"]).sum(axis=1) * fade(aged, self.count_half_life_ms)
        order = np.lexsort((rows["video"], strength.astype(np.float32)))
        drop = max(1, self._n // _DROPPED)
        self.gone.update(rows["video"][order[:drop]].tolist())
        kept = np.sort(order[drop:])
        dirty = self.dirty[kept]
        self.countries.keep(kept)
        self.neighbours.keep(kept)
        self._start(rows[kept])
        self.dirty[:] = dirty

    def _start(self, rows: NDArray[np.void]) -> None:
        self._n = len(rows)
        self.rows, self.dirty = rows, np.zeros(len(rows), np.bool_)
        self._table = IdTable(2 * self._n)
        self._table.put(np.ascontiguousarray(rows["video"]), np.arange(self._n, dtype=np.int32))

    def fill(self, rows: NDArray[np.void]) -> None:
        """Take over stored rows; the sketches have room for them afterwards."""
        self._start(rows)
        self.countries.reserve(self._n)
        self.neighbours.reserve(self._n)
