"""Laws of the statistics' bounds: tables stay at their size, and what is evicted is withdrawn."""

import numpy as np
import pytest

from contracts.settings import StatsSettings
from operators.video_stats import PartitionStats
from tests.unit.stats_logs import NOW_MS, SETTINGS, SMALL, columns, folded, row, same, stored, whole


def test_a_flood_of_made_up_ids_stays_bounded_and_the_popular_stay() -> None:
    small = StatsSettings(videos_per_partition=64, viewers_per_partition=64)
    stats, fields = PartitionStats("events:0", small), dict[bytes, bytes]()
    stats.fold_events(columns([row(user=u, video=77) for u in range(1, 50)]))
    for batch in range(20):
        first = 1000 + batch * 500
        flood = [row(user=first + i, video=first + i, ts_ms=NOW_MS + batch) for i in range(500)]
        stats.fold_events(columns(flood))
        fields = stored(fields, stats.changed())
        stats.saved()
    assert len(stats.table) <= 64
    assert sum(name[:1] == b"v" for name in fields) == len(stats.table)
    assert sum(name[:1] == b"u" for name in fields) <= 64
    assert whole(stats, small)[77][0][1] == pytest.approx(49 * 2 ** (-100 / 168), rel=1e-6)


def test_what_is_evicted_is_withdrawn_unless_it_came_back() -> None:
    stats = PartitionStats("events:0", SMALL)
    stats.fold_events(columns([row(user=v, video=v) for v in range(1, 17)]))
    stats.changed()
    stats.saved()
    stats.fold_events(columns([row(user=v, video=v) for v in range(17, 19)]))
    changes = stats.changed()
    assert len(changes.evicted) == 4
    assert not set(changes.evicted) & set(changes.states.rows["video"].tolist())
    back = changes.evicted[0]
    stats.fold_events(columns([row(user=500, video=back)]))
    changes = stats.changed()
    assert back not in changes.evicted
    assert back in set(changes.states.rows["video"].tolist())


def test_smaller_settings_cut_a_stored_state_to_size() -> None:
    log = [row(user=i, video=i, ts_ms=NOW_MS + i) for i in range(1, 200)]
    fields = stored({}, folded(log).changed())
    stats = PartitionStats.restore("events:0", SMALL, fields)
    assert len(stats.table) <= 16
    assert len(stats._viewers) <= 16
    fields = stored(fields, stats.changed())
    stats.saved()
    again = PartitionStats.restore("events:0", SMALL, fields)
    same(whole(again, SMALL), whole(stats, SMALL))


def test_what_was_shown_has_no_countries_and_no_neighbours_and_pays_for_none() -> None:
    stats = PartitionStats("impressions:0", SETTINGS)
    shown = np.arange(1, 9, dtype=np.int64)
    stats.fold_impressions(shown, np.zeros(8, np.uint16), np.full(8, NOW_MS))
    again = PartitionStats.restore("impressions:0", SETTINGS, stats.changed().set)
    for state in (stats, again):
        sketches = (state.table.countries, state.table.neighbours)
        assert [s.tables.keys.nbytes for s in sketches] == [0, 0]
