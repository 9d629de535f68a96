"""Codes of a byte a number: how far they are off, and that a search loses nothing by them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from index_updater.codes import F32, coded_query, empty, encode, nearest
from index_updater.vectors import unit_rows

SIZE, CELLS = 128, 40


@given(st.integers(0, 2**32), st.integers(1, 200), st.integers(1, 3))
@settings(max_examples=50, deadline=None)
def test_a_code_is_within_half_a_step_of_its_row(seed: int, dim: int, skew: int) -> None:
    rng = np.random.default_rng(seed)
    x = unit_rows(rng.standard_normal((9, dim)).astype("f4") ** (2 * skew - 1))
    codes, scales, centres = empty(9, dim), np.empty(9, np.float32), x[[0, 8, 4]]
    encode(x, codes, scales, centres, np.arange(9, dtype=np.int32), 3)
    held = codes.transpose(1, 0, 2).reshape(9, -1)
    off = held[:, :dim] * scales[:, None] + np.repeat(centres, 3, axis=0) - x
    assert (np.abs(off) <= scales[:, None] * 0.501 + 1e-6).all()
    assert not held[:, dim:].any()


def kinds(dim: int, spread: float, rng: np.random.Generator) -> tuple[F32, F32]:
    """Full cells of rows that are alike, and their centres."""
    centres = unit_rows(rng.standard_normal((CELLS, dim)).astype("f4"))
    noise = spread * rng.standard_normal((CELLS, SIZE, dim)) / dim**0.5
    return unit_rows((centres[:, None] + noise).reshape(-1, dim).astype("f4")), centres


@pytest.mark.parametrize("dim", [5, 64, 100])
@pytest.mark.parametrize("spread", [0.0, 0.01, 0.3, 2.0])
def test_the_nearest_by_codes_are_the_nearest(dim: int, spread: float) -> None:
    rng = np.random.default_rng(dim)
    x, centres = kinds(dim, spread, rng)
    codes, scales = empty(len(x), dim), np.empty(len(x), np.float32)
    encode(x, codes, scales, centres, np.arange(len(x), dtype=np.int32), SIZE)
    counts = rng.integers(0, SIZE + 1, CELLS).astype(np.int32)
    there = np.flatnonzero(np.arange(len(x)) % SIZE < counts[np.arange(len(x)) // SIZE])
    slots_of = rng.permutation(len(x))
    labels = np.argsort(slots_of).astype(np.int32)
    for k in (1, 20, 300, len(x)):
        query = unit_rows(x[rng.integers(0, len(x), (1, 3))].sum(axis=1))[0]
        found, sims = nearest(
            codes, scales, x, labels, counts, rng.permutation(CELLS), centres @ query,
            *coded_query(query), query, k, SIZE, len(x), len(x),
        )  # fmt: skip
        slots = slots_of[found]
        assert len(set(slots.tolist())) == len(slots) >= min(k, len(there))
        assert np.isin(slots, there).all()
        np.testing.assert_allclose(sims, x[slots] @ query, atol=1e-5)
        best = np.sort(x[there] @ query)[::-1][: min(k, len(there))]
        got = np.sort(sims)[::-1][: len(best)]
        assert np.count_nonzero(got >= best[-1] - 1e-6) >= 0.998 * len(best)


@pytest.mark.parametrize("towards", [1.0, 0.999, 0.0, -1.0])
@pytest.mark.parametrize("k", [1, 300, CELLS * SIZE])
def test_of_rows_that_are_all_as_near_as_many_are_found_as_are_wanted(
    towards: float, k: int
) -> None:
    x = np.zeros((CELLS * SIZE, 64), np.float32)
    x[:, 0], x[:, 1] = towards, (1 - towards**2) ** 0.5
    codes, scales = empty(len(x), 64), np.empty(len(x), np.float32)
    encode(x, codes, scales, x[:CELLS], np.arange(len(x), dtype=np.int32), SIZE)
    query = np.zeros(64, np.float32)
    query[0] = 1
    found, sims = nearest(
        codes, scales, x, np.arange(len(x), dtype=np.int32), np.full(CELLS, SIZE, np.int32),
        np.arange(CELLS), x[:CELLS] @ query, *coded_query(query), query, k, SIZE, len(x), len(x),
    )  # fmt: skip
    assert len(set(found.tolist())) == len(found) >= k
    np.testing.assert_allclose(sims, towards, atol=1e-6)


@given(
    st.lists(
        st.sampled_from([-1.0, -0.5, 0.0, 0.2, 0.2001, 0.2003, 0.9, 1.0]),
        min_size=1,
        max_size=CELLS,
    ),
    st.integers(1, 400),
)
@settings(max_examples=40, deadline=None)
def test_cells_in_any_order_of_nearness_give_the_best(towards: list[float], k: int) -> None:
    """Each cell's rows are all alike, so that whole cells enter, fall out and tie."""
    x = np.zeros((len(towards) * SIZE, 4), np.float32)
    x[:, 0] = np.repeat(towards, SIZE)
    x[:, 1] = np.sqrt(1 - x[:, 0] ** 2)
    codes, scales = empty(len(x), 4), np.empty(len(x), np.float32)
    encode(x, codes, scales, x[::SIZE], np.arange(len(x), dtype=np.int32), SIZE)
    query = np.array([1, 0, 0, 0], np.float32)
    slots, sims = nearest(
        codes, scales, x, np.arange(len(x), dtype=np.int32), np.full(len(towards), SIZE, np.int32),
        np.arange(len(towards)), x[::SIZE] @ query, *coded_query(query), query, k, SIZE, len(x), len(x),
    )  # fmt: skip
    best = np.sort(x[:, 0])[::-1][:k]
    assert len(set(slots.tolist())) == len(slots) >= len(best)
    np.testing.assert_allclose(np.sort(sims)[::-1][: len(best)], best, atol=1e-6)


@pytest.mark.parametrize(("patience", "there"), [(3 * SIZE, False), (4 * SIZE, True)])
def test_a_search_goes_on_until_so_many_rows_in_a_row_bring_nothing(
    patience: int, there: bool
) -> None:
    """Cells of the best, then three of the worst, then the one row that is better than all."""
    x = np.zeros((CELLS * SIZE, 4), np.float32)
    x[:, 0], x[: 2 * SIZE, 0], x[5 * SIZE, 0] = -1, np.linspace(0.1, 0.5, 2 * SIZE), 1
    codes, scales, centres = empty(len(x), 4), np.empty(len(x), np.float32), x[:: len(x) // CELLS]
    encode(x, codes, scales, centres, np.arange(len(x), dtype=np.int32), SIZE)
    query = np.array([1, 0, 0, 0], np.float32)
    slots, _ = nearest(
        codes, scales, x, np.arange(len(x), dtype=np.int32), np.full(CELLS, SIZE, np.int32),
        np.arange(CELLS), centres @ query, *coded_query(query), query, 20, SIZE, patience, len(x),
    )  # fmt: skip
    assert (5 * SIZE in slots) == there
    assert np.isin(np.arange(2 * SIZE - 19, 2 * SIZE), slots).all()
