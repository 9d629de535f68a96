"""Laws of the statistics' sums: what each action counts, in any order and over all sources."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.events import Action
from operators.video_stats import PartitionStats
from tests.unit.stats_logs import (
    DE,
    HOUR_MS,
    NOW_MS,
    SETTINGS,
    Row,
    folded,
    plain,
    published,
    row,
    rows,
    same,
)


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
