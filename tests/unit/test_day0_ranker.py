"""Laws of the day-0 bundle's ranker: heads of known columns, and a prior where nothing is known."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from contracts.batch import CandidateBatch
from contracts.features import FEATURE_COLUMNS
from model_runtime.linear_ranker import HEADS, Head, LinearRanker
from tests.unit.day0 import BUNDLE


def batch(n: int, **columns: Any) -> CandidateBatch:
    filled = {spec.name: spec.filled(n) for spec in FEATURE_COLUMNS}
    filled |= {k: np.asarray(v, np.float32) for k, v in columns.items()}
    return CandidateBatch(np.arange(n), np.zeros(n, np.uint32), filled)


def test_where_nothing_is_known_each_head_says_its_prior() -> None:
    out = BUNDLE.ranker.predict(batch(3))
    assert list(out) == [spec.name for spec in BUNDLE.ranker.provides] == list(HEADS)
    for spec in BUNDLE.ranker.provides:
        assert out[spec.name].dtype == np.float32
        np.testing.assert_allclose(out[spec.name], spec.filled(3), rtol=1e-6)


def test_a_closer_video_is_clicked_more_and_skipped_less() -> None:
    out = BUNDLE.ranker.predict(batch(2, cosine=[0.1, 0.8]))
    for head in ("p_click", "p_complete", "p_like", "watch_s"):
        assert out[head][1] > out[head][0]
    for head in ("p_skip", "p_not_interested"):
        assert out[head][1] < out[head][0]


@settings(max_examples=50, deadline=None)
@given(st.data(), st.integers(0, 6))
def test_predictions_are_probabilities_and_judge_each_row_alone(
    data: st.DataObject, n: int
) -> None:
    columns = {
        spec.name: data.draw(hnp.arrays(np.float32, n, elements=st.floats(width=32)))
        for spec in FEATURE_COLUMNS
    }
    whole = batch(n, **columns)
    out = BUNDLE.ranker.predict(whole)
    back = BUNDLE.ranker.predict(whole.take(np.arange(n)[::-1]))
    for spec in BUNDLE.ranker.provides:
        column = out[spec.name]
        top = HEADS[spec.name].scale
        assert column.shape == (n,)
        assert ((column >= 0) & (column <= top)).all()
        np.testing.assert_array_equal(back[spec.name][::-1], column)


def test_the_ranker_names_the_columns_it_reads_and_reads_no_other() -> None:
    names = BUNDLE.ranker.features
    assert set(names) <= {spec.name for spec in FEATURE_COLUMNS}
    full = batch(4)
    only = CandidateBatch(full.ids, full.sources, {name: full[name] for name in names})
    assert set(BUNDLE.ranker.predict(only)) == set(HEADS)


@pytest.mark.parametrize(
    ("heads", "reason"),
    [
        ({**HEADS, "p_click": Head(0.1, {"karma": 1.0})}, "karma"),
        ({**HEADS, "p_click": Head(1.0, {})}, "p_click"),
        ({"p_click": Head(0.1, {})}, "p_complete"),
    ],
)
def test_heads_that_cannot_be_served_are_refused_by_name(
    heads: dict[str, Head], reason: str
) -> None:
    with pytest.raises(ValueError, match=reason):
        LinearRanker(heads)
