"""Laws of the live index, against exact search over a dictionary of vectors."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from contracts.settings import IndexSettings
from index_updater.live_index import LiveIndex

DIM = 16
F32 = NDArray[np.float32]
Change = tuple[str, list[int], int]


@pytest.fixture(scope="module", params=["cells", "hnsw"])
def tight(request: pytest.FixtureRequest) -> IndexSettings:
    return IndexSettings(structure=request.param, tail_rows=8, ef_search=200)


def vectors(n: int, seed: int) -> F32:
    """(n, d) unit vectors around a few centres, as videos are."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(0).standard_normal((20, DIM))
    x = centres[rng.integers(0, 20, n)] + 0.6 * rng.standard_normal((n, DIM))
    unit: F32 = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)
    return unit


def ids(*values: int) -> NDArray[np.int64]:
    return np.array(values, np.int64)


def settle(index: LiveIndex) -> None:
    while index.maintain():
        pass


changes = st.lists(
    st.tuples(
        st.sampled_from(["upsert", "upsert", "remove", "maintain"]),
        st.lists(st.integers(-5, 60), max_size=12),
        st.integers(0, 1000),
    ),
    max_size=25,
)


def apply(index: LiveIndex, model: dict[int, F32], change: Change) -> None:
    what, keys, seed = change
    if what == "upsert":
        batch = vectors(len(keys), seed)
        index.upsert(np.array(keys, np.int64), batch)
        model.update(zip(keys, batch, strict=True))
    elif what == "remove":
        index.remove(np.array(keys, np.int64))
        for key in keys:
            model.pop(key, None)
    else:
        index.maintain()


@given(changes, st.integers(1, 80))
@settings(max_examples=150, deadline=None)
def test_any_history_is_searched_like_a_dictionary_after_every_step(
    tight: IndexSettings, history: list[Change], k: int
) -> None:
    index, model = LiveIndex(DIM, tight, capacity=1), dict[int, F32]()
    for n, change in enumerate(history):
        apply(index, model, change)
        query = vectors(1, n)[0]
        found, sims = index.search(query, k)
        assert len(index) == len(model)
        assert len(found) == min(k, len(model)) == len(set(found.tolist()))
        assert set(found.tolist()) <= set(model)
        truth = sorted((float(v @ query) for v in model.values()), reverse=True)[:k]
        np.testing.assert_allclose(sims, truth, atol=2e-3)
        for key, sim in zip(found.tolist(), sims.tolist(), strict=True):
            assert sim == pytest.approx(float(model[key] @ query), abs=2e-3)
        exact, exact_sims = index.search_exact(query, k)
        np.testing.assert_allclose(exact_sims, sims, atol=1e-5)
        assert len(exact) == len(found)


@pytest.mark.parametrize("n", [0, 1])
def test_k_may_be_anything_and_the_index_small_or_empty(tight: IndexSettings, n: int) -> None:
    index = LiveIndex(DIM, tight)
    index.upsert(np.arange(n), vectors(n, 1))
    settle(index)
    for k in (-1, 0, 1, 1000):
        found, sims = index.search(vectors(1, 2)[0], k)
        assert len(found) == len(sims) == max(min(k, n), 0)
        assert found.dtype == np.int64
        assert sims.dtype == np.float32
    assert index.recall(vectors(2, 3), 10) == 1.0


@pytest.mark.parametrize("n", [0, 1, 40, 3000])
def test_more_than_is_live_gives_all_that_is_live(tight: IndexSettings, n: int) -> None:
    index = LiveIndex(DIM, tight, capacity=4000)
    index.upsert(np.arange(4000), vectors(4000, 1))
    settle(index)
    index.remove(np.arange(n, 4000))
    for _ in range(2):
        found, _ = index.search(vectors(1, 2)[0], 5000)
        assert sorted(found.tolist()) == list(range(n))
        settle(index)


BAD: dict[str, Any] = {
    "nan": np.full((2, DIM), np.nan),
    "infinite": np.full((2, DIM), np.inf),
    "zero": np.zeros((2, DIM)),
    "dim": np.ones((2, DIM + 1)),
    "flat": np.ones(DIM),
    "too few": np.ones((1, DIM)),
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD.keys())
def test_a_batch_with_a_vector_that_cannot_be_used_is_refused_whole(
    tight: IndexSettings, bad: F32
) -> None:
    index = LiveIndex(DIM, tight)
    if bad.shape == (2, DIM):
        bad = np.concatenate([vectors(1, 1), bad[:1].astype(np.float32)])
    with pytest.raises(ValueError, match="vector"):
        index.upsert(ids(1, 2), bad)
    assert len(index) == 0
    assert len(index.search(vectors(1, 2)[0], 5)[0]) == 0


@pytest.mark.parametrize("bad", [np.full(DIM, np.nan), np.zeros(DIM), np.ones(DIM + 1)])
def test_a_query_that_cannot_be_used_is_refused(tight: IndexSettings, bad: F32) -> None:
    index = LiveIndex(DIM, tight)
    index.upsert(np.arange(9), vectors(9, 1))
    with pytest.raises(ValueError, match="query"):
        index.search(bad, 3)


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_only_the_direction_of_a_vector_counts(tight: IndexSettings, scale: float) -> None:
    index = LiveIndex(DIM, tight)
    x = vectors(1, 1)
    index.upsert(ids(7), x * np.float32(scale))
    found, sims = index.search(x[0] * np.float32(scale), 1)
    assert found.tolist() == [7]
    assert sims[0] == pytest.approx(1.0, abs=2e-3)


def test_a_changed_vector_is_found_by_the_new_and_not_by_the_old(tight: IndexSettings) -> None:
    index = LiveIndex(DIM, tight)
    index.upsert(np.arange(3000), vectors(3000, 1))
    settle(index)
    old, new = vectors(3000, 1)[5], -vectors(3000, 1)[5]
    assert index.search(old, 1)[0].tolist() == [5]
    index.upsert(ids(5), new[None])
    for _ in range(2):
        assert index.search(new, 1)[0].tolist() == [5]
        assert 5 not in index.search(old, 500)[0]
        settle(index)


def test_the_same_vector_again_costs_no_row(tight: IndexSettings) -> None:
    index = LiveIndex(DIM, tight)
    for _ in range(5):
        index.upsert(np.arange(100), vectors(100, 1))
        settle(index)
    assert index.tombstone_ratio == 0


def test_a_repeated_id_takes_the_last_of_its_vectors(tight: IndexSettings) -> None:
    index = LiveIndex(DIM, tight)
    x = vectors(3, 1)
    index.upsert(ids(4, 9, 4), x)
    assert len(index) == 2
    assert index.search(x[2], 1)[0].tolist() == [4]


@pytest.mark.parametrize("spread", [0.0, 1e-3, 1e-2])
@pytest.mark.parametrize("shuffled", [True, False])
def test_many_equal_or_nearly_equal_vectors_are_all_found(
    tight: IndexSettings, spread: float, shuffled: bool
) -> None:
    usual = IndexSettings(structure=tight.structure, tail_rows=8)
    index, rng = LiveIndex(DIM, usual), np.random.default_rng(4)
    centres = vectors(5, 1)
    x = np.concatenate([np.repeat(centres, 800, axis=0), vectors(2000, 2)])
    x = (x + spread * rng.standard_normal(x.shape)).astype(np.float32)
    index.upsert(rng.permutation(len(x)) if shuffled else np.arange(len(x)), x)
    settle(index)
    assert index.tail_rows == 0
    assert index.recall(centres, 500) >= 0.98
    if not spread:
        for centre in centres:
            found, sims = index.search(centre, 500)
            assert len(found) == 500
            assert sims.min() > 0.999


def test_recall_stays_high_while_a_tenth_is_replaced_over_and_over(tight: IndexSettings) -> None:
    settings_ = IndexSettings(structure=tight.structure, tail_rows=256)
    index, rng = LiveIndex(DIM, settings_, capacity=1), np.random.default_rng(3)
    index.upsert(np.arange(6000), vectors(6000, 1))
    for round_ in range(20):
        index.upsert(rng.choice(6000, 600, replace=False), vectors(600, 10 + round_))
        assert index.recall(vectors(20, 900 + round_), 200) >= 0.98
        index.maintain()
        settle(index)
        assert index.recall(vectors(20, 900 + round_), 200) >= 0.98
        assert index.tail_rows == 0
        assert index.tombstone_ratio <= 0.35
    assert len(index) == 6000
    assert index.rebuilds >= 2
