"""The bounded parts under the video statistics: the once-filter and the top-k sketches."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.mixing import mixed, paired
from operators.once_filter import OnceFilter
from operators.sketches import Log, Sketches

HALF_LIFE_MS = 3_600_000.0


def admitted(once: OnceFilter, keys: list[int], window: int = 0) -> list[bool]:
    hashed = mixed(np.array(keys, np.int64))
    fresh: list[bool] = once.admit(hashed, np.full(len(keys), window, np.int64)).tolist()
    return fresh


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 50), max_size=80), st.integers(0, 80))
def test_a_key_is_new_once_wherever_the_batch_is_cut(keys: list[int], cut: int) -> None:
    once = OnceFilter(1024, 10)
    out = admitted(once, keys[:cut]) + admitted(once, keys[cut:])
    assert out == [key not in keys[:i] for i, key in enumerate(keys)]


@pytest.mark.parametrize("seed", range(4))
def test_full_generations_turn_at_the_same_key_however_it_is_cut(seed: int) -> None:
    rng = np.random.default_rng(seed)
    keys = mixed(rng.integers(0, 6000, 20_000))
    window = np.sort(rng.integers(0, 60, 20_000)) + rng.integers(-2, 3, 20_000)
    whole, cut = OnceFilter(1024, 10), OnceFilter(1024, 10)
    expected = whole.admit(keys, window)
    edges = [0, *np.sort(rng.integers(0, 20_000, 30)).tolist(), 20_000]
    found = np.concatenate([cut.admit(keys[a:b], window[a:b]) for a, b in pairwise(edges)])
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(cut.bits, whole.bits)
    assert (cut.generation, cut.inserted, cut.since) == (
        whole.generation,
        whole.inserted,
        whole.since,
    )
    assert whole.generation > 10


def test_at_most_one_of_a_hundred_new_keys_is_taken_for_a_known_one() -> None:
    once = OnceFilter(1 << 14, 10)
    keys = np.arange(1 << 15, dtype=np.int64)
    once.admit(mixed(keys[: 1 << 14]), np.zeros(1 << 14, np.int64))
    assert once.inserted > 0.99 * (1 << 14) or once.generation == 1
    fresh = once.admit(mixed(keys[1 << 14 : -10]), np.zeros((1 << 14) - 10, np.int64))
    assert 0.99 < fresh.mean() <= 1


def test_a_key_is_forgotten_after_two_generations_of_windows() -> None:
    once = OnceFilter(1024, 10)
    assert admitted(once, [1], 0) == [True]
    assert admitted(once, [1, 2], 12) == [False, True]
    assert admitted(once, [1], 23) == [True]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(1, 12), st.integers(0, 10**7)), max_size=80),
    st.integers(0, 80),
)
def test_a_sketch_is_the_same_wherever_its_log_is_cut(
    entries: list[tuple[int, int, int]], cut: int
) -> None:
    def run(*parts: list[tuple[int, int, int]]) -> list[dict[int, float]]:
        sketches = Sketches(4, HALF_LIFE_MS, 16)
        sketches.reserve(4)
        for part in parts:
            rows, keys, ts_ms = np.array(part, np.int64).reshape(-1, 3).T
            sketches.add(Log(rows, keys, ts_ms))
        return as_dicts(sketches)

    for one, two in zip(run(entries), run(entries[:cut], entries[cut:]), strict=True):
        assert one == pytest.approx(two, rel=1e-9, abs=1e-9)


def as_dicts(sketches: Sketches) -> list[dict[int, float]]:
    view = sketches.view(np.arange(4))
    return [
        {int(k): float(w) for k, w in zip(keys, weights, strict=True) if k}
        for keys, weights in zip(view.keys, view.weights, strict=True)
    ]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 30)), max_size=200))
def test_a_sketch_never_says_too_much_and_its_error_is_bounded(
    entries: list[tuple[int, int]],
) -> None:
    slots = 4
    sketches = Sketches(slots, HALF_LIFE_MS, 32)
    sketches.reserve(4)
    rows, keys = np.array(entries, np.int64).reshape(-1, 2).T
    sketches.add(Log(rows, keys, np.zeros(len(rows), np.int64)))
    for row, found in enumerate(as_dicts(sketches)):
        true = [key for at, key in entries if at == row]
        for key in set(true) | set(found):
            missing = true.count(key) - found.get(key, 0.0)
            assert -1e-9 <= missing <= len(true) / (slots + 1) + 1e-9


def test_up_to_as_many_keys_as_slots_a_sketch_is_exact_and_keeps_to_kept_rows() -> None:
    sketches = Sketches(4, HALF_LIFE_MS, 8)
    sketches.reserve(4)
    entries = [(r, k) for r in range(4) for k in range(1, 5) for _ in range(k)]
    rows, keys = np.array(entries, np.int64).T
    sketches.add(Log(rows, keys, np.zeros(len(rows), np.int64)))
    assert as_dicts(sketches) == [{1: 1.0, 2: 2.0, 3: 3.0, 4: 4.0}] * 4
    sketches.add(Log(np.array([3]), np.array([4]), np.array([0])))
    sketches.keep(np.array([3, 1]))
    assert as_dicts(sketches)[:2] == [{1: 1.0, 2: 2.0, 3: 3.0, 4: 5.0}, {1: 1.0, 2: 2.0, 3: 3.0, 4: 4.0}]  # fmt: skip  # noqa: E501


def test_pairs_are_hashed_in_their_order() -> None:
    one, two = np.arange(1000), np.arange(1000)[::-1].copy()
    assert len(np.unique(np.r_[paired(one, two), paired(one, one)])) == 2000
    assert (paired(one, two) != paired(two, one)).all()
