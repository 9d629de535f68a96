"""What each re-ranker does to an order, on slates small enough to check by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.page import lowest_bit
from api.rerankers.creator_decay import CreatorDecay
from api.rerankers.explore import ExploreDraw, ExploreSlots, propensities, uniform
from api.rerankers.freshness_boost import FreshnessBoost
from api.rerankers.mmr import mmr
from api.rerankers.spread import spread
from api.rerankers.standing import standing
from contracts.batch import CandidateBatch, Column
from contracts.funnel import Query

NOW_MS = 1_790_000_000_000
DAY_MS = 86_400_000


def slate(n: int, **columns: Column) -> CandidateBatch:
    score = np.linspace(1, 0.5, n, dtype=np.float32) if n else np.empty(0, np.float32)
    ids = np.arange(1, n + 1, dtype=np.int64) * 7919
    return CandidateBatch(ids, np.ones(n, np.uint32), {"score": score, **columns})


def query(limit: int = 10, seed: int = 1) -> Query:
    return Query("r", "ann", NOW_MS, limit=limit, seed=seed)


def test_standing_is_what_a_place_is_worth_not_what_its_row_scored() -> None:
    batch = CandidateBatch(
        np.arange(4), np.ones(4, np.uint32),
        {"score": np.array([0.2, 0.9, np.nan, 0.5], np.float32)},
    )  # fmt: skip
    assert standing(batch).tolist() == pytest.approx([1.0, 3 / 7, 0.0, 0.0], abs=1e-6)


def test_a_new_video_passes_an_old_one_that_is_a_little_better() -> None:
    published = np.array([NOW_MS - 60 * DAY_MS, NOW_MS - 50 * DAY_MS, NOW_MS, 0], np.int64)
    batch = slate(4, published_ms=published)
    batch = CandidateBatch(
        batch.ids, batch.sources,
        {"score": np.array([1.0, 0.95, 0.9, 0.0], np.float32), "published_ms": published},
    )  # fmt: skip
    assert FreshnessBoost(7.0).rerank(query(), batch).tolist() == [2, 0, 1, 3]


def test_the_boost_halves_in_a_week() -> None:
    # 1 + 0.15 x 2^(-1): enough to pass a lead of 0.065, not one of 0.075.
    for lead, first in ((0.065, 1), (0.075, 0)):
        scores = np.array([1.0, 1.0 - lead, 0.0], np.float32)
        published = np.array([0, NOW_MS - 7 * DAY_MS, 0], np.int64)
        batch = CandidateBatch(
            np.arange(3), np.ones(3, np.uint32), {"score": scores, "published_ms": published}
        )
        assert FreshnessBoost(7.0).rerank(query(), batch)[0] == first


def test_the_third_video_of_a_creator_falls_behind_others() -> None:
    creators = np.array([5, 5, 5, 7, 0, 0], np.uint32)
    order = CreatorDecay(0.4).rerank(query(), slate(6, creator=creators)).tolist()
    assert order[0] == 0
    assert order.index(3) < order.index(1) < order.index(2)


def test_mmr_takes_the_other_kind_second() -> None:
    vectors = np.array([[1, 0], [1, 0], [0, 1]], np.float32)
    relevance = np.array([1.0, 0.9, 0.5], np.float32)
    assert mmr(relevance, vectors, 3, 0.5).tolist() == [0, 2, 1]
    assert mmr(relevance, vectors, 3, 1.0).tolist() == [0, 1, 2]


@given(st.lists(st.integers(0, 3), max_size=30), st.integers(1, 30))
def test_spread_keeps_its_window_unless_nothing_else_is_left(groups: list[int], picks: int) -> None:
    array = np.array(groups, np.uint32)
    order = spread(array, window=3, most=1, picks=picks).tolist()
    assert sorted(order) == list(range(len(groups)))
    placed = [groups[row] for row in order]
    for i in range(min(picks, len(groups))):
        window = placed[max(i - 2, 0) : i]
        if placed[i] and placed[i] in window:
            assert all(g and g in window for g in placed[i:])


def test_spread_moves_nothing_that_is_spread_already() -> None:
    assert spread(np.array([5, 5, 5, 7, 0], np.uint32), 2, 1, 5).tolist() == [0, 3, 1, 4, 2]
    assert spread(np.array([1, 2, 3, 1], np.uint32), 3, 1, 4).tolist() == [0, 1, 2, 3]


def drawn(n: int, few: set[int], seed: int) -> CandidateBatch:
    shown = np.array([0.0 if i in few else 99.0 for i in range(n)], np.float32)
    batch = slate(n, impressions=shown)
    return batch.with_columns(ExploreDraw(50.0).score(query(seed=seed), batch))


def test_each_slot_goes_to_a_little_shown_video_with_its_true_probability() -> None:
    n, few, trials = 30, {21, 23, 25, 27, 29}, 2000
    counts = np.zeros(n)
    for seed in range(trials):
        batch = drawn(n, few, seed)
        page = batch.take(ExploreSlots(10).rerank(query(), batch))
        logged = propensities(page, 10)
        assert [i for i in range(n) if logged[i] < 1] == [4, 14, 24]
        assert logged[4] == pytest.approx(0.2)
        counts[page.ids[4] // 7919 - 1] += 1
    assert set(np.flatnonzero(counts)) == few
    np.testing.assert_allclose(counts[sorted(few)] / trials, 0.2, atol=0.04)


def test_without_anything_to_explore_the_order_stays_and_nothing_was_drawn() -> None:
    batch = drawn(12, set(), 1)
    assert ExploreSlots(10).rerank(query(), batch).tolist() == list(range(12))
    assert propensities(batch, 10).tolist() == [1.0] * 12
    assert propensities(slate(3), 10).tolist() == [1.0] * 3


@given(st.integers(0, 2**63 - 1))
def test_the_draw_is_in_the_unit_interval_and_repeatable(seed: int) -> None:
    ids = np.arange(-5, 5, dtype=np.int64)
    key = uniform(ids, seed)
    assert ((key >= 0) & (key < 1)).all()
    np.testing.assert_array_equal(key, uniform(ids, seed))


@given(st.lists(st.integers(1, 2**32 - 1), max_size=20))
def test_the_lowest_bit_names_the_source(sources: list[int]) -> None:
    array = np.array(sources, np.uint32)
    assert lowest_bit(array).tolist() == [(s & -s).bit_length() - 1 for s in sources]
