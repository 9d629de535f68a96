"""Laws of co-watching: which videos are each other's neighbours, and how near."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.events import Action
from operators.video_stats import PartitionStats
from tests.unit.stats_logs import (
    HOUR_MS,
    MINUTE_MS,
    NOW_MS,
    Row,
    folded,
    plain,
    published,
    row,
    rows,
)


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
