"""Metrics against scikit-learn, and against what their definitions say counted by hand."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import ndcg_score, roc_auc_score
from sklearn.metrics.pairwise import cosine_similarity

from model_runtime.evaluation.bootstrap import estimate
from model_runtime.evaluation.lists import coverage, novelty, variety
from model_runtime.evaluation.metrics import (
    RANKED,
    Found,
    auc,
    calibration_error,
    hit_rate,
    ndcg,
    precision,
    recall,
    reciprocal_rank,
)

M = 12  # candidates


@st.composite
def answers(draw: st.DrawFn) -> list[set[int]]:
    """Ranks of what is relevant, a set a query; at least one in each."""
    return draw(st.lists(st.sets(st.integers(0, M - 1), min_size=1), min_size=1, max_size=6))


def found_of(ranks: list[set[int]]) -> Found:
    query = np.repeat(np.arange(len(ranks)), [len(r) for r in ranks])
    return Found(query, np.array([r for some in ranks for r in sorted(some)]), len(ranks))


@given(answers(), st.integers(1, M))
def test_ndcg_is_that_of_scikit_learn(ranks: list[set[int]], k: int) -> None:
    truth = np.array([[float(r in some) for r in range(M)] for some in ranks])
    scores = np.tile(-np.arange(M, dtype=float), (len(ranks), 1))
    expected = [ndcg_score(truth[i : i + 1], scores[i : i + 1], k=k) for i in range(len(ranks))]
    np.testing.assert_allclose(ndcg(found_of(ranks), k), expected, atol=1e-12)


@given(answers(), st.integers(1, M))
def test_the_others_are_what_one_counts_by_hand(ranks: list[set[int]], k: int) -> None:
    found = found_of(ranks)
    top = [sum(r < k for r in some) for some in ranks]
    assert hit_rate(found, k).tolist() == [float(n > 0) for n in top]
    assert precision(found, k).tolist() == [n / k for n in top]
    assert recall(found, k).tolist() == [n / len(some) for n, some in zip(top, ranks, strict=True)]
    first = [min(some) for some in ranks]
    assert reciprocal_rank(found, k).tolist() == [1 / (r + 1) if r < k else 0.0 for r in first]


@given(answers(), st.integers(1, M - 1))
def test_a_longer_list_finds_no_less_and_a_better_rank_is_worth_no_less(
    ranks: list[set[int]], k: int
) -> None:
    found = found_of(ranks)
    for name in ("hr", "recall", "mrr"):
        assert (RANKED[name](found, k + 1) >= RANKED[name](found, k)).all()
    one = Found.one_each(np.array([max(some) for some in ranks]))
    better = Found.one_each(np.maximum(one.rank - 1, 0))
    for metric in RANKED.values():
        assert (metric(better, k) >= metric(one, k)).all()
        assert (metric(one, k) <= 1).all()


def test_a_query_without_anything_relevant_counts_as_nothing_found() -> None:
    found = Found(np.array([1]), np.array([0]), 3)
    for metric in RANKED.values():
        assert metric(found, 10)[[0, 2]].tolist() == [0.0, 0.0]
        assert metric(found, 10)[1] > 0


labels = st.lists(st.tuples(st.sampled_from([0.0, 0.25, 0.5, 0.9]), st.booleans()), min_size=2)


@given(labels)
def test_auc_is_that_of_scikit_learn_ties_and_all(rows: list[tuple[float, bool]]) -> None:
    score, label = np.array([r[0] for r in rows]), np.array([r[1] for r in rows])
    if label.all() or not label.any():
        assert np.isnan(auc(score, label))
    else:
        assert auc(score, label) == pytest.approx(roc_auc_score(label, score))


@given(st.integers(1, 9), st.integers(1, 40))
def test_who_says_what_happens_is_calibrated_and_who_doubles_it_is_not(hits: int, n: int) -> None:
    label = np.arange(10 * n) % 10 < hits
    said = np.full(10 * n, hits / 10)
    assert calibration_error(said, label, bins=1) == pytest.approx(0, abs=1e-12)
    assert calibration_error(said / 2, label, bins=1) == pytest.approx(hits / 20)


def test_calibration_is_the_mean_gap_of_bins_of_equal_size() -> None:
    said = np.array([0.1, 0.1, 0.8, 0.8])
    label = np.array([False, True, True, True])
    assert calibration_error(said, label, bins=2) == pytest.approx((0.4 * 2 + 0.2 * 2) / 4)


def test_people_without_differences_have_no_interval() -> None:
    got = estimate(np.full(30, 0.25), np.arange(30) % 7)
    assert (got.mean, got.low, got.high) == (0.25, 0.25, 0.25)
    one = estimate(np.array([0.0, 1.0]), np.array([5, 5]))
    assert (one.mean, one.low, one.high) == (0.5, 0.5, 0.5)


@given(st.lists(st.floats(0, 1), min_size=2, max_size=20), st.integers(0, 99))
def test_an_interval_is_between_the_least_and_the_most_and_the_same_each_time(
    values: list[float], seed: int
) -> None:
    numbers, person = np.array(values), np.arange(len(values)) // 2
    got = estimate(numbers, person, draws=50, seed=seed)
    assert got == estimate(numbers, person, draws=50, seed=seed)
    assert min(values) - 1e-9 <= got.low <= got.high <= max(values) + 1e-9


def test_nineteen_of_twenty_intervals_hold_the_truth() -> None:
    """People have 1 to 5 queries of one chance each: what an interval over queries would forget."""
    rng, held, times = np.random.default_rng(3), 0, 200
    for i in range(times):
        person = np.repeat(np.arange(80), rng.integers(1, 6, 80))
        values = rng.beta(1, 3, 80)[person]
        got = estimate(values, person, draws=200, seed=i)
        held += got.low <= 0.25 <= got.high
    assert 0.88 <= held / times <= 0.99


@st.composite
def lists(draw: st.DrawFn) -> Any:
    n = draw(st.integers(1, 5))
    return np.array([draw(st.permutations(range(8)))[:4] for _ in range(n)])


@given(lists())
def test_lists_are_judged_as_their_definitions_say(top: Any) -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(8, 3)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    counts = np.arange(8)
    assert coverage(top, 8) == len({x for row in top for x in row}) / 8
    near = cosine_similarity(vectors.astype(float))
    for row, wide, new in zip(top, variety(top, vectors), novelty(top, counts), strict=True):
        pairs = [near[a, b] for a in row for b in row if a != b]
        assert wide == pytest.approx(1 - np.mean(pairs), abs=1e-6)
        surprise = [-np.log2((counts[x] + 1) / (counts.sum() + 8)) for x in row]
        assert new == pytest.approx(np.mean(surprise))


def test_the_same_video_over_and_over_has_no_variety() -> None:
    vectors = np.eye(3, dtype=np.float32)
    assert variety(np.array([[1, 1, 1], [0, 1, 2]]), vectors).tolist() == pytest.approx([0, 1])
