"""Compiled re-rankers give the order that their plain form gives."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from api.rerankers.creator_decay import decayed
from api.rerankers.mmr import mmr
from api.rerankers.spread import spread
from contracts.batch import nth_in_group
from index_updater.vectors import unit_rows

seeds = st.integers(0, 2**32)


@given(seeds, st.integers(0, 150), st.integers(1, 40), st.floats(0, 1))
def test_mmr_picks_greedily(seed: int, n: int, picks: int, weight: float) -> None:
    rng = np.random.default_rng(seed)
    unit = unit_rows(rng.standard_normal((n, 8)).astype("f4"))
    worth = np.sort(rng.random(n, np.float32))[::-1]
    order = mmr(worth, unit, picks, weight).tolist()
    assert sorted(order) == list(range(n))
    pool = list(range(min(n, 4 * picks)))
    for turn in range(min(picks, n)):
        nearest = [max([0.0, *(unit[order[:turn]] @ unit[row])]) for row in pool]
        gains = weight * worth[pool] - (1 - weight) * np.array(nearest)
        assert gains[pool.index(order[turn])] >= gains.max() - 1e-5
        pool.remove(order[turn])
    assert order[min(picks, n) :] == [*pool, *range(4 * picks, n)]


@given(st.lists(st.integers(0, 2**32 - 1) | st.integers(0, 3), max_size=60), seeds)
def test_the_nth_of_a_creator_is_worth_less(creators: list[int], seed: int) -> None:
    worth = np.random.default_rng(seed).random(len(creators), np.float32)
    of = np.array(creators, np.uint32)
    factors = 0.7 ** np.where(of == 0, 0, nth_in_group(of))
    np.testing.assert_allclose(decayed(worth, of, 0.7), worth * factors, rtol=1e-5)


@given(
    st.lists(st.integers(0, 5), max_size=120), st.integers(1, 8), st.integers(1, 3),
    st.integers(1, 40),
)  # fmt: skip
def test_each_place_takes_the_first_row_that_its_window_allows(
    kinds: list[int], window: int, most: int, picks: int
) -> None:
    rest, placed = list(range(len(kinds))), list[int]()
    for _ in range(min(picks, len(kinds))):
        near = [kinds[row] for row in placed[max(len(placed) - window + 1, 0) :]]
        look = [row for row in rest[:60] if row < picks + 60]
        free = [row for row in look if not kinds[row] or near.count(kinds[row]) < most]
        placed.append(free[0] if free else rest[0])
        rest.remove(placed[-1])
    assert spread(np.array(kinds, np.uint32), window, most, picks).tolist() == placed + rest
