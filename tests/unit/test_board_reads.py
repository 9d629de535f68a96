"""Compiled reads of the board say what plain numpy says."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from operators.board_reads import chains, faded, summed
from operators.decay import fade
from operators.id_table import ABSENT, IdTable

seeds = st.integers(0, 2**32)


@given(seeds, st.integers(0, 40), st.integers(0, 60))
def test_chains_name_every_partial_of_the_rows_asked_for(seed: int, rows: int, parts: int) -> None:
    rng = np.random.default_rng(seed)
    head, behind = np.full(rows, -1, np.int32), np.full(parts, -1, np.int32)
    of = rng.integers(0, rows, parts) if rows else np.empty(0, np.intp)
    for part, row in enumerate(of.tolist()):
        behind[part], head[row] = head[row], part
    asked = rng.permutation(rows)[: rows // 2].astype(np.intp)
    whose, found = chains(head, behind, asked)
    wanted = {(i, p) for i, row in enumerate(asked) for p in np.flatnonzero(of == row)}
    assert set(zip(whose.tolist(), found.tolist(), strict=True)) == wanted
    assert len(found) == len(wanted)


def test_a_partial_that_is_not_in_this_array_yet_ends_its_chain() -> None:
    whose, part = chains(np.array([7], np.int32), np.array([-1], np.int32), np.array([0]))
    assert whose.tolist() == part.tolist() == []


@given(seeds, st.integers(0, 30))
def test_counts_fade_as_everywhere(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    counts, at_ms = rng.random((9, 5), np.float32), rng.integers(0, 10**6, 9)
    rows = rng.integers(-1, 9, n)
    wanted = counts[rows].T * fade(500_000 - at_ms[rows], 3e5) * (rows >= 0)
    np.testing.assert_allclose(faded(counts, at_ms, rows, 500_000, 3e5), wanted, rtol=1e-6)


@given(st.lists(st.lists(st.integers(-3, 3), max_size=6), max_size=6), seeds)
def test_lists_are_summed_by_key(lists: list[list[int]], seed: int) -> None:
    rng = np.random.default_rng(seed)
    sizes = np.array([len(keys) for keys in lists], np.intp)
    keys = np.array([key for keys in lists for key in keys], np.int64)
    weights, scale = rng.random(len(keys), np.float32), rng.random(len(lists))
    found, sums = summed(keys, weights, sizes, scale)
    each = weights * np.repeat(scale, sizes)
    assert found.tolist() == list(dict.fromkeys(keys.tolist()))
    np.testing.assert_allclose(sums, [each[keys == key].sum() for key in found], rtol=1e-12)


@given(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=60, unique=True), seeds)
def test_an_id_is_found_where_it_was_put_and_nowhere_when_dropped(
    ids: list[int], seed: int
) -> None:
    lowest = -(2**63)  # shares the place of the one beside it: two of 2^64 hashes
    ids = [i for i in ids if i != lowest]
    table, array = IdTable(), np.array(ids, np.int64)
    table.put(array, np.arange(len(ids), dtype=np.int32))
    gone = np.random.default_rng(seed).random(len(ids)) < 0.3
    table.drop(array[gone])
    assert table.get(array).tolist() == np.where(gone, ABSENT, np.arange(len(ids))).tolist()
    other = np.array([i ^ 1 for i in ids if i ^ 1 not in {*ids, lowest}], np.int64)
    assert (table.get(other) == ABSENT).all()
