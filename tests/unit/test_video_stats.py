"""Laws of the statistics of one source partition: cut, restored or summed, they are the same."""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.engine_records import VideoStats
from contracts.errors import ConfigError
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


def told(fields: dict[bytes, bytes]) -> dict[bytes, bytes]:
    """Without sketches that hold nothing: to store them or not is the same."""
    return {k: v for k, v in fields.items() if k[:1] not in (b"c", b"n") or len(v) > 8}


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
crowd = st.lists(
    st.builds(
        row,
        user=st.integers(1, 60),
        video=st.integers(1, 60),
        action=st.sampled_from([Action.CLICK, Action.LIKE, Action.SKIP]),
        ts_ms=st.integers(0, 40).map(lambda m: NOW_MS + m * MINUTE_MS),
    ),
    max_size=150,
)
cuts = st.lists(st.integers(0, 150), max_size=5)


def pieces(log: Sequence[Row], at: Sequence[int]) -> list[Sequence[Row]]:
    edges = [0, *sorted(min(c, len(log)) for c in at), len(log)]
    return [log[a:b] for a, b in pairwise(edges)]


# --- any batching ----------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(st.lists(rows, max_size=60), cuts)
def test_a_log_cut_anywhere_folds_to_the_same_state(log: list[Row], at: list[int]) -> None:
    part = PartitionStats("events:0", SETTINGS)
    for piece in pieces(log, at):
        part.fold_events(columns(piece))
    same(plain(published(part)), plain(published(folded(log))))


@settings(max_examples=60, deadline=None)
@given(crowd, cuts)
def test_cuts_do_not_matter_while_tables_overflow_either(log: list[Row], at: list[int]) -> None:
    part = PartitionStats("events:0", SMALL)
    for piece in pieces(log, at):
        part.fold_events(columns(piece))
    clean = folded(log, SMALL)
    same(whole(part, SMALL), whole(clean, SMALL))
    assert part.changed().evicted == clean.changed().evicted
    assert len(part.table) <= SMALL.videos_per_partition
    assert len(part._viewers) <= SMALL.viewers_per_partition


@settings(max_examples=60, deadline=None)
@given(crowd, cuts)
def test_a_state_restored_after_any_write_goes_on_like_one_never_interrupted(
    log: list[Row], at: list[int]
) -> None:
    stats, fields = PartitionStats("events:0", SMALL), dict[bytes, bytes]()
    for piece in pieces(log, at):
        stats.fold_events(columns(piece))
        changes = stats.changed()
        again = stats.changed()
        assert again.set == changes.set
        assert again.delete == changes.delete
        fields = stored(fields, changes)
        stats.saved()
        assert set(stats.changed().set) == {b"m"}
        assert told(fields) == told(all_fields(stats))
        stats = PartitionStats.restore("events:0", SMALL, fields)
    same(whole(stats, SMALL), whole(folded(log, SMALL), SMALL))


@settings(max_examples=40, deadline=None)
@given(st.lists(rows, max_size=40), st.lists(rows, max_size=40))
def test_a_write_that_failed_is_in_the_next_one(one: list[Row], two: list[Row]) -> None:
    stats = folded(one)
    stats.changed()  # published, then refused: `saved` is not called
    stats.fold_events(columns(two))
    fields = stored({}, stats.changed())
    back = PartitionStats.restore("events:0", SETTINGS, fields)
    same(whole(back), whole(folded([*one, *two])))


def test_the_long_log_of_a_sketch_survives_writes_before_and_after_it_is_worked_in() -> None:
    rng = np.random.default_rng(5)
    stats, fields = PartitionStats("events:0", SETTINGS), dict[bytes, bytes]()
    log: list[Row] = []
    for batch in range(12):
        more = [
            row(user=int(u), video=int(v), ts_ms=NOW_MS + batch * 1000)
            for u, v in zip(rng.integers(1, 300, 1000), rng.integers(1, 400, 1000), strict=True)
        ]
        log += more
        stats.fold_events(columns(more))
        fields = stored(fields, stats.changed())
        stats.saved()
        assert told(fields) == told(all_fields(stats))
    assert stats.table.neighbours.settled > 0 < len(stats.table.neighbours.log)
    same(whole(PartitionStats.restore("events:0", SETTINGS, fields)), whole(folded(log)))


# --- sums ------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(st.lists(rows, max_size=40), st.randoms(use_true_random=False))
def test_different_people_and_videos_count_in_any_order(log: list[Row], random: Any) -> None:
    log = [(i, *r[1:]) for i, r in enumerate(log, start=1)]
    shuffled = random.sample(log, len(log))
    same(plain(published(folded(log))), plain(published(folded(shuffled))))


@settings(max_examples=40, deadline=None)
@given(st.lists(rows, max_size=60))
def test_sources_summed_are_the_fold_of_all(log: list[Row]) -> None:
    parts = [plain(published(folded([r for r in log if r[0] % 2 == k]))) for k in (0, 1)]
    for video, (counts, trend, countries, neighbours) in plain(published(folded(log))).items():
        found = [part[video] for part in parts if video in part]
        assert counts == pytest.approx(np.sum([f[0] for f in found], axis=0), rel=1e-9, abs=1e-12)
        assert trend == pytest.approx(sum(f[1] for f in found), rel=1e-9, abs=1e-12)
        for i, mine in ((2, countries), (3, neighbours)):
            keys = {k for f in found for k in f[i]}
            summed = {k: sum(f[i].get(k, 0.0) for f in found) for k in keys}
            # what is published leaves out what is too faint
            assert mine == pytest.approx(
                {k: summed.get(k, mine.get(k)) for k in mine}, rel=1e-9, abs=0.02
            )


def test_a_late_event_decays_to_where_it_belongs() -> None:
    late = [row(user=1, ts_ms=NOW_MS), row(user=2, ts_ms=NOW_MS - 2 * HOUR_MS)]
    (record,) = published(folded(late))
    assert record.at_ms == NOW_MS
    assert record.trend == pytest.approx(1.25)
    assert record.trend_by_country == pytest.approx({DE: 1.25})
    assert record.counts[1] == pytest.approx(1 + 2 ** (-2 / SETTINGS.count_half_life_h))
    ancient = published(folded([row(user=1), row(user=2, ts_ms=1)]))[0]
    assert ancient.trend == 1


def test_each_action_counts_for_what_it_is() -> None:
    kinds = {
        Action.CLICK: (0, 1, 0, 0, 0), Action.LIKE: (0, 0, 0, 1, 0), Action.UNLIKE: (0, 0, 0, -1, 0),
        Action.SKIP: (0, 0, 0, 0, 1), Action.NOT_INTERESTED: (0, 0, 0, 0, 1),
    }  # fmt: skip
    for action, counts in kinds.items():
        (record,) = published(folded([row(action=action)]))
        assert record.counts == counts, action
    assert not published(folded([row(action=Action.HOVER), row(video=0)]))


@pytest.mark.parametrize(
    ("share", "watch_ms", "counts"),
    [
        (0.95, -1, (0, 1, 1, 0, 0)),
        (0.3, -1, (0, 1, 0, 0, 0)),
        (0.1, 12_000, (0, 1, 0, 0, 0)),
        (np.nan, 12_000, (0, 1, 0, 0, 0)),
    ],
)
def test_a_watch_is_a_click_if_long_enough_and_a_complete_if_nearly_whole(
    share: float, watch_ms: int, counts: tuple[int, ...]
) -> None:
    (record,) = published(folded([row(action=Action.WATCH, share=share, watch_ms=watch_ms)]))
    assert record.counts == counts
    for little in (row(action=Action.WATCH, share=0.1, watch_ms=900), row(action=Action.WATCH)):
        assert not published(folded([little]))


@pytest.mark.parametrize(("stars", "likes"), [(1, 0), (3, 0), (4, 1), (5, 1)])
def test_who_rates_has_watched_and_who_gives_four_stars_likes(stars: int, likes: int) -> None:
    (record,) = published(folded([row(action=Action.RATE, share=stars / 5)]))
    assert record.counts == (0, 1, 0, likes, 0)


def test_a_click_and_the_watch_that_follows_are_one_click() -> None:
    log = [row(), *(row(action=Action.WATCH, share=s) for s in (0.25, 0.5, 0.75, 1.0))]
    (record,) = published(folded(log))
    assert record.counts == (0, 1, 1, 0, 0)


def test_impressions_are_counted_and_say_nothing_else() -> None:
    stats = PartitionStats("impressions:1", SETTINGS)
    videos = np.array([5, 5, 0, 6], np.int64)
    stats.fold_impressions(videos, np.full(4, DE, np.uint16), np.full(4, NOW_MS))
    records = {r.video: r for r in published(stats)}
    assert {v: r.counts for v, r in records.items()} == {5: (2, 0, 0, 0, 0), 6: (1, 0, 0, 0, 0)}
    assert all(r.source == "impressions:1" and r.trend == 0 for r in records.values())


def test_nothing_folded_is_nothing_changed() -> None:
    stats = folded([])
    stats.fold_impressions(np.empty(0, np.int64), np.empty(0, np.uint16), np.empty(0, np.int64))
    changes = stats.changed()
    assert (len(changes.states), changes.evicted, changes.delete) == (0, [], [])
    assert not published(PartitionStats.restore("events:0", SETTINGS, {}))


# --- robust ----------------------------------------------------------------------------------


def test_one_loud_client_cannot_make_a_trend() -> None:
    """1,000 events of one person move a trend by one person a window, however they are cut."""
    start = NOW_MS - NOW_MS % (10 * MINUTE_MS)
    loud = [row(user=1, video=7, ts_ms=start + i * 500) for i in range(1000)]  # 8.3 minutes
    stats = PartitionStats("events:0", SETTINGS)
    for piece in pieces(loud, [1, 10, 500]):
        stats.fold_events(columns(piece))
    (record,) = published(stats)
    assert record.trend <= 1
    assert record.counts[1] <= 1
    crowd_of_two = [row(user=u, video=8, ts_ms=start + 499_500) for u in (2, 3)]
    stats.fold_events(columns(crowd_of_two))
    trend = {r.video: r.trend for r in published(stats)}
    assert trend[8] > trend[7]


@settings(max_examples=30, deadline=None)
@given(st.lists(rows, min_size=1, max_size=80))
def test_a_person_is_worth_at_most_one_a_video_a_window(log: list[Row]) -> None:
    log = [(1, *r[1:]) for r in log]
    windows = {(r[1], r[5] // (10 * MINUTE_MS)) for r in log}
    for record in published(folded(log)):
        most = sum(video == record.video for video, _ in windows)
        assert record.trend <= most + 1e-9
        assert sum(record.trend_by_country.values()) <= most + 1e-9


def test_the_next_window_counts_the_person_again() -> None:
    log = [row(ts_ms=NOW_MS + i * 10 * MINUTE_MS) for i in range(3)]
    (record,) = published(folded(log))
    assert 2 < record.trend < 3


# --- co-watching -----------------------------------------------------------------------------


def neighbours(stats: PartitionStats) -> dict[int, dict[int, float]]:
    return {
        r.video: dict(zip(r.neighbours.ids, r.neighbours.weights, strict=True))
        for r in published(stats)
    }


@settings(max_examples=60, deadline=None)
@given(st.lists(rows, max_size=60))
def test_videos_watched_together_are_each_others_neighbours(log: list[Row]) -> None:
    found = plain(published(folded(log)))
    for video, (*_, near) in found.items():
        assert video not in near
        for other, weight in near.items():
            assert found[other][3][video] == pytest.approx(weight, rel=1e-6)


def test_a_session_pairs_its_videos_and_another_day_does_not() -> None:
    log = [
        row(video=1),
        row(video=2, ts_ms=NOW_MS + 20 * MINUTE_MS),
        row(video=3, ts_ms=NOW_MS + 45 * MINUTE_MS),
        row(video=4, ts_ms=NOW_MS + 24 * HOUR_MS),
        row(user=2, video=9),
    ]
    found = neighbours(folded(log))
    assert {v: set(near) for v, near in found.items()} == {
        1: {2},
        2: {1, 3},
        3: {2},
        4: set(),
        9: set(),
    }


def test_what_was_skipped_is_nobodys_neighbour() -> None:
    log = [row(video=1), row(video=2, action=Action.SKIP), row(video=3, action=Action.LIKE)]
    assert not any(neighbours(folded(log)).values())


def test_watching_the_same_pair_again_and_again_counts_once_a_window() -> None:
    log = [row(video=1 + i % 2, ts_ms=NOW_MS + i) for i in range(500)]
    found = neighbours(folded(log))
    assert found[1][2] == pytest.approx(1, abs=1e-3)
    assert found[2][1] == pytest.approx(1, abs=1e-3)


def test_many_people_make_the_stronger_neighbour() -> None:
    log = [row(user=u, video=v) for u in range(1, 8) for v in ((1, 2) if u < 6 else (1, 3))]
    found = neighbours(folded(log))
    assert list(found[1]) == [2, 3]
    assert found[1][2] == pytest.approx(5)


# --- bounded ---------------------------------------------------------------------------------


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


def test_a_state_of_another_layout_is_refused() -> None:
    fields = folded([row()]).changed().set
    fields[b"m"] = fields[b"m"].replace(b"\xa6layout\x01", b"\xa6layout\x09")
    with pytest.raises(ConfigError, match="layout 9"):
        PartitionStats.restore("events:0", SETTINGS, fields)


def test_what_was_shown_has_no_countries_and_no_neighbours_and_pays_for_none() -> None:
    stats = PartitionStats("impressions:0", SETTINGS)
    shown = np.arange(1, 9, dtype=np.int64)
    stats.fold_impressions(shown, np.zeros(8, np.uint16), np.full(8, NOW_MS))
    again = PartitionStats.restore("impressions:0", SETTINGS, stats.changed().set)
    for state in (stats, again):
        sketches = (state.table.countries, state.table.neighbours)
        assert [s.tables.keys.nbytes for s in sketches] == [0, 0]
