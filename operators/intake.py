"""Rows for keys in the order in which they come, until a bounded table is full."""

import numpy as np

from contracts.batch import Ids, Rows
from operators.id_table import IdTable


def intake(table: IdTable, n: int, keys: Ids, room: int) -> tuple[Rows, Ids]:
    """Rows of as many leading keys as fit; what has to be made for them.

    Args:
        table: key -> row of the n rows there are.
        room: new rows that may be made.

    Returns:
        (m,) rows of keys[:m], new ones numbered from n; m < len(keys) if the key after them would
        be one too many. And the new keys in the order of their rows: the caller adds them.
    """
    rows = table.get(keys).astype(np.intp)
    missing = np.flatnonzero(rows < 0)
    if not len(missing):
        return rows, keys[:0]
    _, first, same = np.unique(keys[missing], return_index=True, return_inverse=True)
    arrival = np.argsort(first)
    rank = np.empty_like(arrival)
    rank[arrival] = np.arange(len(arrival))
    rows[missing] = n + rank[same]
    new = keys[missing[first[arrival]]]
    if len(new) <= room:
        return rows, new
    return rows[: missing[first[arrival[room]]]], new[:room]
