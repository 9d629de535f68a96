"""Generated logs of what people did to videos, and the statistics folded from them, to be compared."""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

from contracts.engine_records import VideoStats
from contracts.events import Action
from contracts.ids import pack_country
from contracts.settings import StatsSettings
from operators.video_stats import Changes, PartitionStats, StatEvents
from tests.stats_records import to_records

NOW_MS = 1_700_000_000_000
MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DE, US = pack_country("DE"), pack_country("US")
SETTINGS = StatsSettings()
SMALL = StatsSettings(videos_per_partition=16, viewers_per_partition=16)
# user, video, action, share, watch_ms, ts_ms, country
Row = tuple[int, int, int, float, int, int, int]


def row(
    user: int = 1,
    video: int = 10,
    action: int = Action.CLICK,
    share: float = np.nan,
    watch_ms: int = -1,
    ts_ms: int = NOW_MS,
    country: int = DE,
) -> Row:
    return user, video, int(action), share, watch_ms, ts_ms, country


def columns(rows: Sequence[Row]) -> StatEvents:
    of: list[Sequence[Any]] = list(zip(*rows, strict=True)) if rows else [()] * 7
    kinds = (np.int64, np.int64, np.uint8, np.float32, np.int32, np.int64, np.uint16)
    return StatEvents(*(np.array(c, k) for c, k in zip(of, kinds, strict=True)))


def folded(rows: Sequence[Row], stats: StatsSettings = SETTINGS) -> PartitionStats:
    out = PartitionStats("events:0", stats)
    out.fold_events(columns(rows))
    return out


Plain = dict[int, tuple[Any, ...]]


def plain(records: Iterable[VideoStats], at_ms: int = NOW_MS + 100 * HOUR_MS) -> Plain:
    """Records as numbers at one time, to be compared."""
    out: Plain = {}
    for r in records:
        counts_left = 2 ** (-(at_ms - r.at_ms) / (SETTINGS.count_half_life_h * HOUR_MS))
        trend_left = 2 ** (-(at_ms - r.at_ms) / (SETTINGS.trend_half_life_h * HOUR_MS))
        out[r.video] = (
            [c * counts_left for c in r.counts],
            r.trend * trend_left,
            {c: w * trend_left for c, w in r.trend_by_country.items()},
            {
                i: w * counts_left
                for i, w in zip(r.neighbours.ids, r.neighbours.weights, strict=True)
            },
        )
    return out


def same(one: Plain, two: Plain) -> None:
    assert one.keys() == two.keys()
    for video, (counts, trend, countries, neighbours) in one.items():
        other = two[video]
        assert counts == pytest.approx(other[0], rel=1e-9, abs=1e-12)
        assert trend == pytest.approx(other[1], rel=1e-9, abs=1e-12)
        assert countries == pytest.approx(other[2], rel=1e-6, abs=1e-12)
        assert neighbours == pytest.approx(other[3], rel=1e-6, abs=1e-12)


def stored(before: dict[bytes, bytes], changes: Changes) -> dict[bytes, bytes]:
    """The hash after one write."""
    assert not set(changes.delete) & set(changes.set)
    out = {k: v for k, v in before.items() if k not in set(changes.delete)}
    return out | changes.set


def published(stats: PartitionStats) -> list[VideoStats]:
    """What has changed since it was saved."""
    return to_records(stats.changed().states)


def whole(stats: PartitionStats, settings_: StatsSettings = SETTINGS) -> Plain:
    """Every video, not only what has changed: what a new process would publish of its state."""
    copy = PartitionStats.restore(stats.source, settings_, all_fields(stats))
    copy.table.dirty[:] = True
    return plain(published(copy))


def all_fields(stats: PartitionStats) -> dict[bytes, bytes]:
    """The whole state, whatever was saved before."""
    table = stats.table
    saved = table.dirty.copy(), table.countries.dirty.copy(), table.neighbours.dirty.copy()
    viewers, pages = stats._viewers.dirty.copy(), stats._once._dirty.copy()
    logs = list(stats._logs_stored)
    for dirty in (table.dirty, table.countries.dirty, table.neighbours.dirty):
        dirty[:] = True
    stats._viewers.dirty[:] = True
    stats._once._dirty[:] = True
    stats._logs_stored = [(0, -1), (0, -1)]
    fields = stats.changed().set
    table.dirty, table.countries.dirty, table.neighbours.dirty = saved
    stats._viewers.dirty, stats._once._dirty, stats._logs_stored = viewers, pages, logs
    return fields


rows = st.builds(
    row,
    user=st.integers(1, 6),
    video=st.integers(1, 8).map(lambda v: v * 1_000_003),
    action=st.sampled_from(list(Action)),
    share=st.sampled_from([np.nan, 0.0, 0.2, 0.3, 0.95]),
    watch_ms=st.sampled_from([-1, 500, 15_000]),
    ts_ms=st.integers(-3 * HOUR_MS, 0).map(lambda ago: NOW_MS + ago),
    country=st.sampled_from([0, DE, US]),
)


def pieces(log: Sequence[Row], at: Sequence[int]) -> list[Sequence[Row]]:
    edges = [0, *sorted(min(c, len(log)) for c in at), len(log)]
    return [log[a:b] for a, b in pairwise(edges)]
