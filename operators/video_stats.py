"""The fold of one source partition into video statistics: counts, trends and co-watch neighbours.

Pure: no clock, no I/O; the same state however the log is cut into batches, whole or restored from
what was stored. All of it is robust: a person counts once a video, kind of action and window of
event time, so one loud client can neither make a trend nor spoil a rate. Bounded, with the errors
that `once_filter`, `sketches`, `co_watch` and `video_table` state.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from contracts.batch import Ids, Mask
from contracts.errors import ConfigError
from contracts.events import Action
from contracts.settings import StatsSettings
from contracts.stats_rows import StatsColumns
from operators import stats_codec as codec
from operators.co_watch import CoWatch
from operators.mixing import paired
from operators.once_filter import OnceFilter
from operators.signals import COMPLETE_SHARE
from operators.stats_records import published
from operators.video_table import (
    CLICKS,
    COMPLETES,
    IMPRESSIONS,
    LIKES,
    SKIPS,
    Additions,
    VideoTable,
)

CLICK_SHARE: Final = 0.25
CLICK_WATCH_MS: Final = 10_000
LIKE_SHARE: Final = 0.8  # of five stars
# How long the filter remembers at least, in windows: after two hours of ten minutes each, what a
# repeated event can still add to a trend with a half-life of an hour is a quarter of a person.
_FILTER_WINDOWS: Final = 12
_KEYS_A_VIEWER: Final = 8

# Kinds of action, each counted once: a watch can be a click and a complete. Order is part of the
# filter's keys and of the stored state.
_COLUMN: Final = np.array([CLICKS, COMPLETES, LIKES, LIKES, SKIPS], np.intp)
_WEIGHT: Final = np.array([1.0, 1.0, 1.0, -1.0, 1.0])
_CLICK: Final = 0


@dataclass(frozen=True, slots=True, eq=False)
class StatEvents:
    """n events of one source partition in the order of their offsets.

    Attributes:
        user, video: (n,) int64 hashes; video 0 is none.
        action: (n,) uint8, `contracts.events.Action`.
        share: (n,) float32 watched share, NaN unknown.
        watch_ms: (n,) int32, -1 unknown.
        ts_ms: (n,) int64 event time, not after the broker's by more than the tolerance.
        country: (n,) uint16 packed, 0 unknown.
    """

    user: Ids
    video: Ids
    action: NDArray[np.uint8]
    share: NDArray[np.float32]
    watch_ms: NDArray[np.int32]
    ts_ms: NDArray[np.int64]
    country: NDArray[np.uint16]


@dataclass(frozen=True, slots=True)
class Changes:
    """What to store and to publish since `saved`.

    Attributes:
        set, delete: fields of the partition's hash.
        states: what to publish, of version 0.
        evicted: videos whose published state is to be withdrawn by a tombstone.
    """

    set: dict[bytes, bytes]
    delete: list[bytes]
    states: StatsColumns
    evicted: list[int]


class PartitionStats:
    """The state of one source partition, of `events` or of `impressions`."""

    def __init__(self, source: str, settings: StatsSettings) -> None:
        self.source = source
        self._window_ms = settings.trend_window_min * 60_000
        self.table = VideoTable(settings)
        self._once = OnceFilter(settings.viewers_per_partition * _KEYS_A_VIEWER, _FILTER_WINDOWS)
        self._viewers = CoWatch(settings.viewers_per_partition)
        self._logs_stored = [(0, 0), (0, 0)]  # entries and `settled` of each sketch's log
        self._stale: list[bytes] = []

    def fold_events(self, events: StatEvents) -> None:
        """Fold a batch; cost and result do not depend on who sent how much of it."""
        kinds = _kinds(events)
        row, kind = np.nonzero(kinds)
        window = (events.ts_ms[row] // self._window_ms).astype(np.int64)
        keys = paired(events.user[row], paired(events.video[row], window * 8 + kind))
        first = self._once.admit(keys, window)
        row, kind = row[first], kind[first]
        clicks = np.flatnonzero(kind == _CLICK)
        view = row[clicks]
        at, other = self._viewers.pairs(events.user[view], events.video[view], events.ts_ms[view])
        clicked = kind == _CLICK
        self.table.add(
            Additions(
                events.video[row],
                _COLUMN[kind],
                _WEIGHT[kind],
                events.ts_ms[row],
                np.where(clicked, events.country[row], np.uint16(0)),
                clicked.astype(np.float64),
                clicks[at],
                other,
            )
        )

    def fold_impressions(
        self, video: Ids, country: NDArray[np.uint16], ts_ms: NDArray[np.int64]
    ) -> None:
        """Count what was shown. The country is not used yet."""
        shown = np.flatnonzero(video)
        n = len(shown)
        self.table.add(
            Additions(
                video[shown],
                np.full(n, IMPRESSIONS),
                np.ones(n),
                ts_ms[shown],
                np.zeros(n, np.uint16),
                np.zeros(n),
                np.empty(0, np.intp),
                np.empty(0, np.int64),
            )
        )

    def changed(self) -> Changes:
        """Everything that has changed since `saved`; may be asked again until then."""
        table = self.table
        gone = np.array(sorted(table.gone), np.int64)
        evicted: list[int] = gone[table.find(gone) < 0].tolist()
        fields = codec.meta_field(self._once) | codec.video_fields(table)
        delete = [*self._stale, *codec.gone_videos(gone.tolist())]
        for part, gone_fields in (
            self._log_fields(),
            codec.viewer_fields(self._viewers),
            codec.filter_fields(self._once),
        ):
            fields |= part
            delete += gone_fields
        rows = np.flatnonzero(table.dirty[: len(table)])
        states = published(table, rows, self.source)
        return Changes(fields, [name for name in delete if name not in fields], states, evicted)

    def saved(self) -> None:
        """What the last `changed` said is stored and published; nothing was folded in between."""
        table = self.table
        table.dirty[:] = table.countries.dirty[:] = table.neighbours.dirty[:] = False
        table.gone.clear()
        self._logs_stored = [(len(s.log), s.settled) for s in (table.countries, table.neighbours)]
        self._viewers.saved()
        self._once.saved()
        self._stale = []

    @classmethod
    def restore(
        cls, source: str, settings: StatsSettings, fields: Mapping[bytes, bytes]
    ) -> "PartitionStats":
        """The state that was stored; a new one from no fields.

        Raises:
            ConfigError: it has another layout, or was not written by Headrace.
        """
        stats = cls(source, settings)
        meta = codec.read_meta(fields)
        if meta is None:
            return stats
        try:
            stats._take_over(meta, fields)
        except (ValueError, IndexError, OverflowError, struct.error) as e:
            raise ConfigError(f"{source}: statistics are not readable: {e}; {codec.ANEW}") from e
        return stats

    def _take_over(self, meta: codec.Meta, fields: Mapping[bytes, bytes]) -> None:
        self._fill_table(fields)
        self._viewers.fill(*codec.read_viewers(fields))
        once = self._once
        if meta.filter_capacity == once.capacity:
            once.generation, once.inserted, once.since = meta.generation, meta.inserted, meta.since
            once.fill(codec.read_pages(fields))
        else:  # another setting: begin anew, at the price of counting a window twice
            self._stale = codec.page_names(fields)

    def _fill_table(self, fields: Mapping[bytes, bytes]) -> None:
        table = self.table
        table.fill(codec.read_videos(fields))
        for (name, log_name), sketches in zip(
            codec.SKETCHES, (table.countries, table.neighbours), strict=True
        ):
            codec.read_sketches(fields, name, table, sketches)
            sketches.log = codec.read_log(fields, log_name, table)
            if len(sketches.log):
                sketches.grow()
        self._logs_stored = [(len(s.log), s.settled) for s in (table.countries, table.neighbours)]
        while len(table) > table.capacity:  # the setting was made smaller
            table.drop_weakest()

    def _log_fields(self) -> tuple[codec.Fields, list[bytes]]:
        fields: codec.Fields = {}
        delete: list[bytes] = []
        sketches = (self.table.countries, self.table.neighbours)
        for (_, name), sketch, (had, settled) in zip(
            codec.SKETCHES, sketches, self._logs_stored, strict=True
        ):
            log = sketch.log
            first = had if sketch.settled == settled else 0
            if len(log) > first:
                fields |= codec.log_chunks(name, self.table.videos, log, first)
            delete += codec.gone_chunks(name, len(log), had)
        return fields, delete


def _kinds(events: StatEvents) -> Mask:
    """(n, 5) click, complete, like, unlike, skip: what each event is. Without a video, nothing.

    Who rates a video has watched it; who gives it four stars likes it.
    """
    action, watched = events.action, events.action == Action.WATCH
    share, watch_ms, rated = events.share, events.watch_ms, action == Action.RATE
    enough = (share >= CLICK_SHARE) | (watch_ms >= CLICK_WATCH_MS)  # NaN is not
    kinds = np.column_stack(
        [
            (action == Action.CLICK) | (watched & enough) | rated,
            watched & (share >= COMPLETE_SHARE),
            (action == Action.LIKE) | (rated & (share >= LIKE_SHARE)),
            action == Action.UNLIKE,
            (action == Action.SKIP) | (action == Action.NOT_INTERESTED),
        ]
    )
    out: Mask = kinds & (events.video != 0)[:, None]
    return out
