"""The figures by which a ranker is judged, against definitions and another implementation."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from model_runtime.training.ranker_measures import (
    auc,
    calibration_error,
    concordance,
    intervals,
)
from model_runtime.watch_time import expected_s, pieces

EDGES_S = np.array([0, 2, 5, 9], np.float32)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5)), min_size=2, max_size=60))
def test_auc_is_what_scikit_learn_says(rows: list[tuple[bool, int]]) -> None:
    positive, score = np.array([p for p, _ in rows]), np.array([s for _, s in rows], float)
    if positive.all() or not positive.any():
        assert np.isnan(auc(positive, score))
    else:
        assert auc(positive, score) == pytest.approx(roc_auc_score(positive, score))


@settings(max_examples=30)
@given(
    st.lists(
        st.tuples(st.booleans(), st.integers(0, 5), st.integers(0, 3)), min_size=2, max_size=40
    )
)
def test_a_weight_is_so_many_equal_rows(rows: list[tuple[bool, int, int]]) -> None:
    positive, score, times = (np.array(column) for column in zip(*rows, strict=True))
    one = auc(positive, score.astype(float), times)
    many = (
        auc(np.repeat(positive, times), np.repeat(score, times).astype(float))
        if times.sum()
        else np.nan
    )
    assert one == pytest.approx(many, nan_ok=True)


def test_an_interval_holds_the_truth_and_a_difference_knows_that_both_saw_the_same_rows() -> None:
    rng = np.random.default_rng(0)
    positive = rng.random(4000) < 0.3
    good = positive + rng.normal(0, 1.5, 4000)
    worse = good + rng.normal(0, 0.5, 4000)
    found = intervals(positive, {"a": good, "b": worse}, rng.integers(0, 500, 4000))
    assert found["a"].low < found["a"].value < found["a"].high
    assert found["a"].value == pytest.approx(roc_auc_score(positive, good))
    apart = found["a - b"]
    assert apart.low > 0
    assert apart.high - apart.low < found["a"].high - found["a"].low


def test_a_head_that_says_the_rate_is_calibrated_and_one_that_says_more_is_not() -> None:
    rng = np.random.default_rng(1)
    p = rng.random(20_000)
    came = rng.random(20_000) < p
    assert calibration_error(came, p) < 0.02
    assert calibration_error(came, np.minimum(p + 0.2, 1)) == pytest.approx(0.18, abs=0.02)


def test_a_video_that_ended_is_not_taken_for_one_that_was_left() -> None:
    watched = np.array([10.0, 20.0])
    cut_off = np.array([True, False])
    assert concordance(watched, ~cut_off & False, np.array([0.0, 1.0])) == 1
    assert np.isnan(concordance(watched, cut_off, np.array([0.0, 1.0])))


@given(st.floats(0, 20), st.booleans())
def test_each_piece_of_time_is_survived_left_or_unknown(at: float, ended: bool) -> None:
    left, known = pieces(EDGES_S, np.array([at], np.float32), np.array([ended]))
    assert left.sum() == (not ended and at < 9)
    assert (left <= known).all()
    assert (np.diff(known[0]) <= 0).all()  # nothing is known after the first unknown


def test_what_nobody_says_is_not_learned_from() -> None:
    _, known = pieces(EDGES_S, np.array([np.nan], np.float32), np.array([False]))
    assert not known.any()


def test_hazards_of_censored_watches_give_back_the_time_that_would_have_been_watched() -> None:
    """Exponential watches of mean 4 s, cut off by videos of 1 to 6 s."""
    rng = np.random.default_rng(2)
    would = rng.exponential(4, 200_000)
    whole = rng.uniform(1, 6, 200_000)
    ended = would >= whole
    edges = np.linspace(0, 6, 25).astype(np.float32)
    left, known = pieces(edges, np.minimum(would, whole).astype(np.float32), ended)
    hazards = left.sum(axis=0) / known.sum(axis=0)
    for length in (2.0, 5.0):
        expected = expected_s(edges, hazards[None], np.array([length], np.float32))[0]
        assert expected == pytest.approx(4 * (1 - np.exp(-length / 4)), rel=0.03)


@given(st.lists(st.floats(0, 1), min_size=3, max_size=3), st.floats(0.01, 30))
def test_longer_videos_are_watched_longer_and_none_longer_than_it_is(
    hazards: list[float], length: float
) -> None:
    both = expected_s(EDGES_S, np.array([hazards] * 2), np.array([length, length + 1], np.float32))
    shorter, longer = both.tolist()
    assert 0 <= shorter <= longer + 1e-4
    assert shorter <= length + 1e-4
