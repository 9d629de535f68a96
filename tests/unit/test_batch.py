"""Columns of chosen rows are what taking every column at once would give, whenever they are read."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.batch import CandidateBatch

N = 12


def batch(n: int = N) -> CandidateBatch:
    columns = {"a": np.arange(n) * 10, "b": np.arange(2 * n).reshape(n, 2)}
    return CandidateBatch(np.arange(n, dtype=np.int64), np.ones(n, np.uint32), columns)


masks = st.lists(st.booleans(), min_size=N, max_size=N).map(np.array)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("order"), st.randoms(use_true_random=False)),
        st.tuples(st.just("slice"), st.integers(0, N)),
        st.tuples(st.just("mask"), masks),
        st.tuples(st.just("column"), st.none()),
        st.tuples(st.just("read"), st.none()),
    ),
    max_size=8,
)


@given(steps)
def test_any_takes_and_additions_give_what_taking_all_columns_each_time_gives(
    done: list[tuple[str, Any]],
) -> None:
    lazy, eager = batch(), {"ids": np.arange(N), "a": batch()["a"], "b": batch()["b"]}
    for number, (what, how) in enumerate(done):
        n = len(lazy)
        if what == "column":
            new = np.arange(n) * 7 + number
            lazy = lazy.with_columns({f"c{number}": new})
            eager = {**eager, f"c{number}": new}
        elif what == "read":
            np.testing.assert_array_equal(lazy["b"], eager["b"])
        else:
            rows: Any = slice(how) if what == "slice" else None
            if what == "order":
                rows = np.array(how.sample(range(n), n), np.intp)
            elif what == "mask":
                rows = how[:n]
            lazy = lazy.take(rows)
            eager = {name: column[rows] for name, column in eager.items()}
    assert set(lazy.columns) == set(eager) - {"ids"}
    assert len(lazy.columns) == len(eager) - 1
    np.testing.assert_array_equal(lazy.ids, eager.pop("ids"))
    for name, column in eager.items():
        np.testing.assert_array_equal(lazy[name], column)


def test_a_column_that_is_there_is_not_written_again_also_among_chosen_rows() -> None:
    taken = batch().take(np.arange(3))
    with pytest.raises(ValueError, match="written twice"):
        taken.with_columns({"a": np.zeros(3)})
    with pytest.raises(ValueError, match="rows"):
        taken.with_columns({"c": np.zeros(4)})
    with pytest.raises(KeyError):
        taken["c"]
