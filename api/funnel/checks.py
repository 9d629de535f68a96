"""What components promise, checked at run time: one wrong answer must not become a wrong page."""

from collections.abc import Mapping, Sequence
from inspect import iscoroutine

import numpy as np

from contracts.batch import Column, ColumnSpec, Ids, Mask, Rows
from operators.kernel import kernel


def defaults(provides: Sequence[ColumnSpec], n: int) -> dict[str, Column]:
    """The declared columns as they are when their component failed."""
    return {spec.name: spec.filled(n) for spec in provides}


def columns(got: Mapping[str, Column], provides: Sequence[ColumnSpec], n: int) -> dict[str, Column]:
    """Exactly the declared columns, in the declared types.

    Raises:
        ValueError: on other names or another shape than declared.
    """
    if got.keys() != {spec.name for spec in provides}:
        raise ValueError(f"columns {sorted(got)}, not {sorted(s.name for s in provides)}")
    out = {}
    for spec in provides:
        column = np.asarray(got[spec.name], spec.dtype)
        if column.shape != (n, *spec.shape):
            raise ValueError(f"{spec.name} is {column.shape}, not {(n, *spec.shape)}")
        out[spec.name] = column
    return out


def ids(got: Ids) -> Ids:
    """(m,) int64. Raises ValueError on anything else."""
    array = np.asarray(got)
    if array.ndim != 1 or (array.dtype != np.int64 and len(array)):
        if iscoroutine(got):
            got.close()  # nobody will await it
            raise ValueError("ids to be awaited: what wraps an `async def retrieve` has to be one")
        raise ValueError(f"ids are {array.dtype} of shape {array.shape}")
    return array.astype(np.int64, copy=False)


def mask(got: Mask, n: int) -> Mask:
    """(n,) bool. Raises ValueError on anything else."""
    array = np.asarray(got)
    if array.shape != (n,) or array.dtype != np.bool_:
        raise ValueError(f"mask is {array.dtype} of shape {array.shape}, not bool ({n},)")
    return array


def permutation(got: Rows, n: int) -> Rows | None:
    """The rows, None if they are in order already; ValueError unless each of range(n) is there once."""
    rows = np.ascontiguousarray(got, np.intp)
    if rows.shape != (n,) or not _each_once(rows):
        raise ValueError(f"not a permutation of {n} rows")
    return None if np.array_equal(rows, np.arange(n)) else rows


@kernel
def _each_once(rows: Rows) -> bool:
    seen = np.zeros(len(rows), np.bool_)
    for row in rows:
        if row < 0 or row >= len(rows) or seen[row]:
            return False
        seen[row] = True
    return True
