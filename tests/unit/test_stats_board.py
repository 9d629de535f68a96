"""The serving side of the video statistics."""

import threading
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.engine_records import Neighbours, VideoStats
from contracts.features import RATE_COLUMNS
from contracts.settings import StatsSettings
from contracts.stats_rows import of_records
from operators.stats_board import StatsBoard

NOW_MS = 1_700_000_000_000
HOUR_MS = 3_600_000
DE, US = 17_477, 21_843


def record(
    video: int,
    source: str = "events:0",
    counts: tuple[float, float, float, float, float] = (0, 0, 0, 0, 0),
    trend: float = 0.0,
    near: dict[int, float] | None = None,
    beside: dict[int, float] | None = None,
    at_ms: int = NOW_MS,
    version: int = 0,
) -> VideoStats:
    beside = beside or {}
    listed = Neighbours(tuple(beside), tuple(beside.values()))
    return VideoStats(video, source, at_ms, counts, trend, near or {}, listed, version)


def board(*records: VideoStats) -> StatsBoard:
    out = StatsBoard(StatsSettings())
    out.apply(of_records(records))
    return out


def ids(*videos: int) -> Any:
    return np.array(videos, np.int64)


def categories(videos: Any) -> Any:
    """Even videos are of category 2, odd ones of 1; 99 is of none."""
    return np.where(videos == 99, 0, 2 - videos % 2).astype(np.uint32)


def listed(stats: StatsBoard, country: int = 0, category: int = 0, n: int = 50) -> list[int]:
    found: list[int] = stats.trending(country, category, n)[0].tolist()
    return found


def test_an_empty_board_answers_everything_with_the_defaults() -> None:
    stats = board()
    stats.refresh(NOW_MS, categories)
    assert not stats.counts(ids(1, 2), NOW_MS).any()
    for spec in RATE_COLUMNS:
        column = stats.rates(ids(1, 2), NOW_MS)[spec.name]
        assert column.dtype == spec.dtype
        np.testing.assert_allclose(column, spec.filled(2))
    assert listed(stats) == listed(stats, DE, 1) == []
    assert stats.neighbours(ids(1), np.ones(1, np.float32), 5)[0].tolist() == []
    assert stats.neighbours(ids(), np.ones(0, np.float32), 5)[0].tolist() == []
    assert stats.rates(ids(), NOW_MS)["ctr"].shape == (0,)


partials = st.builds(
    record,
    video=st.integers(1, 6),
    source=st.sampled_from(["events:0", "events:1", "impressions:0"]),
    counts=st.tuples(*[st.floats(0, 100)] * 5),
    trend=st.floats(0, 100),
    at_ms=st.integers(0, 72).map(lambda h: NOW_MS - h * HOUR_MS),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(partials, max_size=12), max_size=5))
def test_counts_are_the_decayed_sum_of_the_last_state_of_each_source(
    batches: list[list[VideoStats]],
) -> None:
    stats = StatsBoard(StatsSettings())
    last: dict[tuple[int, str], VideoStats] = {}
    for batch in batches:
        stats.apply(of_records(batch))
        last |= {(r.video, r.source): r for r in batch}
    wanted = np.zeros((7, 5))
    for r in last.values():
        wanted[r.video] += np.array(r.counts) * 2 ** (-(NOW_MS - r.at_ms) / (168 * HOUR_MS))
    found = stats.counts(np.arange(7), NOW_MS)
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)
    assert len(stats) == len({video for video, _ in last})


@settings(max_examples=60, deadline=None)
@given(st.lists(partials, max_size=20), st.lists(st.tuples(st.booleans(), partials), max_size=12))
def test_what_is_withdrawn_counts_no_more_and_the_rest_goes_on(
    first: list[VideoStats], then: list[tuple[bool, VideoStats]]
) -> None:
    stats = StatsBoard(StatsSettings())
    stats.apply(of_records(first))
    last = {(r.video, r.source): r for r in first}
    for whole, r in then:
        if whole:
            sources = [s for video, s in last if video == r.video]
            stats.forget([r.video] * len(sources), sources)
            last = {key: kept for key, kept in last.items() if key[0] != r.video}
        else:
            stats.forget([r.video], [r.source])
            last.pop((r.video, r.source), None)
    clean = board(*last.values())
    for now in (stats, swept(stats)):
        np.testing.assert_allclose(
            now.counts(np.arange(7), NOW_MS), clean.counts(np.arange(7), NOW_MS), rtol=1e-5
        )
        now.refresh(NOW_MS, categories)
        clean.refresh(NOW_MS, categories)
        assert listed(now) == listed(clean)
        assert len(now) == len(clean)


def swept(stats: StatsBoard) -> StatsBoard:
    stats._rows = stats._rows.swept()
    return stats


def test_rates_are_pulled_to_their_defaults_and_stay_shares() -> None:
    stats = board(
        record(1, counts=(1000, 300, 150, 30, 100)),
        record(1, "impressions:0", counts=(1000, 0, 0, 0, 0)),
        record(2, counts=(0, 500, 0, 900, -3)),  # clicks without impressions, likes without clicks
    )
    rates = stats.rates(ids(1, 2, 3), NOW_MS)
    assert rates["impressions"].tolist() == [2000, 0, 0]
    assert rates["ctr"] == pytest.approx([302 / 2020, 1.0, 0.1])
    assert rates["complete_rate"][0] == pytest.approx(154 / 320)
    assert rates["skip_rate"][0] == pytest.approx(104 / 420)
    assert rates["clicks"].tolist() == [300, 500, 0]
    for spec in RATE_COLUMNS[1:5]:
        assert ((rates[spec.name] >= 0) & (rates[spec.name] <= 1)).all()


def test_trending_lists_are_of_the_world_a_country_a_category_and_both() -> None:
    stats = board(
        record(1, trend=5, near={DE: 5}),
        record(2, trend=4, near={DE: 1, US: 3}),
        record(2, "events:1", trend=4, near={US: 4}),
        record(3, trend=6, near={US: 6}),
        record(99, trend=1),
        record(5, trend=0.01, near={DE: 0.01}),
    )
    assert listed(stats) == []
    stats.refresh(NOW_MS, categories)
    assert listed(stats) == [2, 3, 1, 99]
    assert listed(stats, n=2) == [2, 3]
    assert listed(stats, US) == [2, 3]
    assert listed(stats, DE) == [1, 2]
    assert listed(stats, category=1) == [3, 1]
    assert listed(stats, US, 1) == [3]
    assert listed(stats, 12345) == listed(stats, category=777) == []
    assert stats.trending()[1].tolist() == [8, 6, 5, 1]


def test_what_trended_yesterday_does_not_trend_today() -> None:
    stats = board(record(1, trend=1000, at_ms=NOW_MS - 24 * HOUR_MS), record(2, trend=1))
    stats.refresh(NOW_MS, categories)
    assert listed(stats) == [2]
    stats.refresh(NOW_MS + HOUR_MS, categories)
    assert stats.trending()[1].tolist() == [0.5]


def test_a_video_that_is_not_there_is_not_listed_and_its_statistics_stay() -> None:
    stats = board(record(1, trend=5, counts=(9, 5, 0, 0, 0)), record(2, trend=4))
    stats.refresh(NOW_MS, categories, lambda videos: videos != 1)
    assert listed(stats) == [2]
    assert stats.counts(ids(1), NOW_MS)[0, 0] == 9


@given(st.permutations([record(1, counts=(n, 0, 0, 0, 0), version=n) for n in range(1, 6)]),
       st.integers(0, 5))  # fmt: skip
def test_the_newest_version_counts_in_whatever_order_and_batches_they_come(
    records: list[VideoStats], cut: int
) -> None:
    stats = board(*records[:cut])
    stats.apply(of_records(records[cut:]))
    assert stats.counts(ids(1), NOW_MS)[0, 0] == 5


def test_neighbours_of_several_videos_are_summed_over_sources_without_themselves() -> None:
    stats = board(
        record(1, beside={10: 4, 11: 1, 2: 9}),
        record(1, "events:1", beside={11: 4, 12: 1}),
        record(2, beside={12: 3, 1: 9}),
    )
    found, scores = stats.neighbours(ids(1, 2, 777), np.ones(3, np.float32), 10)
    assert found.tolist() == [11, 10, 12]
    assert scores == pytest.approx(np.array([5, 4, 4]) / 5)
    assert stats.neighbours(ids(1, 2), np.ones(2, np.float32), 1)[0].tolist() == [11]
    liked, _ = stats.neighbours(ids(1, 2), np.array([0.1, 1.0], np.float32), 10)
    assert liked[0] == 12


def test_a_neighbour_that_everybody_watches_has_to_be_watched_together_more() -> None:
    stats = board(record(1, beside={10: 4, 11: 3}), record(10, counts=(0, 1000, 0, 0, 0)))
    assert stats.neighbours(ids(1), np.ones(1, np.float32), 2)[0].tolist() == [11, 10]


def test_old_neighbours_of_a_source_weigh_less_than_new_ones() -> None:
    stats = board(
        record(1, beside={10: 4}, at_ms=NOW_MS - 400 * HOUR_MS), record(1, "b", beside={11: 3})
    )
    assert stats.neighbours(ids(1), np.ones(1, np.float32), 2)[0].tolist() == [11, 10]


def test_readers_go_on_while_a_writer_applies_and_sweeps() -> None:
    stats = board(record(1, counts=(10, 5, 0, 0, 0), trend=3, beside={2: 1.0}))
    stop, wrong = threading.Event(), list[str]()

    def read() -> None:
        try:
            while not stop.is_set():
                assert stats.counts(ids(1), NOW_MS)[0, 1] == 5
                assert stats.neighbours(ids(1), np.ones(1, np.float32), 3)[0].tolist() == [2]
                stats.refresh(NOW_MS, categories)
                assert 1 in listed(stats, n=10_000)
        except Exception as e:  # said in the test's own thread
            wrong.append(repr(e))

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for round_ in range(30):
        videos = range(100 + round_ * 300, 400 + round_ * 300)
        stats.apply(of_records([record(v, trend=1.0 / v, near={DE: 1.0}) for v in videos]))
        stats.forget(videos, ["events:0"] * len(videos))
        swept(stats)
    stop.set()
    for reader in readers:
        reader.join()
    assert wrong == []
    assert len(stats) == 1
