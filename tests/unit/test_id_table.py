"""Laws of the table of ids and rows, against a dictionary."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.id_table import IdTable


@given(st.lists(st.tuples(st.integers(-3, 40), st.integers(-1, 9)), max_size=120))
@settings(max_examples=150, deadline=None)
def test_an_id_table_is_a_dictionary(changes: list[tuple[int, int]]) -> None:
    table, model = IdTable(), dict[int, int]()
    for key, value in changes:
        one = np.array([key], np.int64)
        if value < 0:
            table.drop(one)
            model.pop(key, None)
        else:
            table.put(one, np.array([value], np.int32))
            model[key] = value
        assert len(table) == len(model)
    keys = np.arange(-4, 42)
    assert table.get(keys).tolist() == [model.get(k, -1) for k in keys.tolist()]
    batch = IdTable()
    puts = [(k, v) for k, v in changes if v >= 0]
    batch.put(np.array([k for k, _ in puts], np.int64), np.array([v for _, v in puts], np.int32))
    assert batch.get(keys).tolist() == [dict(puts).get(k, -1) for k in keys.tolist()]
    assert len(batch) == len(dict(puts))
