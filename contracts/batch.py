"""Candidates as columns: ~500 rows of numpy from the merge to the page."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int64]
Mask = NDArray[np.bool_]
Rows = NDArray[np.intp]
Column = NDArray[Any]


@dataclass(frozen=True, slots=True)
class ColumnSpec:
    """What a stage promises to add: name, dtype, row shape, and the value used when it fails."""

    name: str
    dtype: np.dtype[Any]
    default: float | int | bool
    shape: tuple[int, ...] = ()

    def filled(self, n: int) -> Column:
        """(n, *shape) of the default."""
        return np.full((n, *self.shape), self.default, self.dtype)


def f32(name: str, default: float = 0.0) -> ColumnSpec:
    """A column of one float32 a row."""
    return ColumnSpec(name, np.dtype(np.float32), default)


@dataclass(frozen=True, slots=True, eq=False)
class CandidateBatch:
    """n candidates in column form. Treat as immutable: stages return new batches.

    Attributes:
        ids: (n,) int64, unique 64-bit hashes of video ids.
        sources: (n,) uint32, bit i set when source i retrieved the row.
        columns: name -> (n,) or (n, d) array, owned by the stage that declared it.
    """

    ids: Ids
    sources: NDArray[np.uint32]
    columns: Mapping[str, Column]

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, name: str) -> Column:
        return self.columns[name]

    def take(self, rows: Rows | Mask | slice) -> "CandidateBatch":
        """The rows of a mask, in an order, or of a slice."""
        at = np.arange(len(self.ids))[rows]
        return CandidateBatch(self.ids[at], self.sources[at], _Columns.of(self.columns).take(at))

    def with_columns(self, new: Mapping[str, Column]) -> "CandidateBatch":
        """The same rows with more columns.

        Raises:
            ValueError: on a column that is already there, or of another length.
        """
        for name, column in new.items():
            if name in self.columns:
                raise ValueError(f"column {name!r} is written twice")
            if len(column) != len(self.ids):
                raise ValueError(f"column {name!r} has {len(column)} rows, not {len(self.ids)}")
        return CandidateBatch(self.ids, self.sources, _Columns.of(self.columns).plus(new))


class _Columns(Mapping[str, Column]):
    """Columns of chosen rows, each made when it is first read: a re-ranker reads 3 of 40.

    Making all of them after each of ten steps was 5 % of a feed (docs/LOG.md).
    """

    __slots__ = ("_at", "_base", "_extended", "_own")

    def __init__(
        self, base: "_Columns | None", at: Rows, own: dict[str, Column], extended: bool
    ) -> None:
        self._base, self._at, self._own = base, at, own
        self._extended = extended  # has columns that `base` has not

    @classmethod
    def of(cls, columns: Mapping[str, Column]) -> "_Columns":
        """These, if they are not of this kind yet."""
        if isinstance(columns, cls):
            return columns
        return cls(None, np.empty(0, np.intp), dict(columns), True)

    def take(self, rows: Rows) -> "_Columns":
        """Rows of rows are rows of the first: no column is made on the way."""
        if self._extended:
            return _Columns(self, rows, {}, False)
        return _Columns(self._base, self._at[rows], {}, False)

    def plus(self, new: Mapping[str, Column]) -> "_Columns":
        """With more columns."""
        return _Columns(self._base, self._at, {**self._own, **new}, True)

    def __getitem__(self, name: str) -> Column:
        column = self._own.get(name)
        if column is None:
            if self._base is None:
                raise KeyError(name)
            column = self._own[name] = self._base.pick(name, self._at)
        return column

    def pick(self, name: str, rows: Rows) -> Column:
        """These rows of one column; who lies between does not make it whole."""
        column = self._own.get(name)
        if column is not None:
            return column[rows]
        if self._base is None:
            raise KeyError(name)
        return self._base.pick(name, self._at[rows])

    def __iter__(self) -> Iterator[str]:
        return iter({**dict.fromkeys(self._base or ()), **dict.fromkeys(self._own)})

    def __len__(self) -> int:
        return len(list(iter(self)))

    def __contains__(self, name: object) -> bool:
        return name in self._own or (self._base is not None and name in self._base)


def merge(parts: Sequence[tuple[int, Ids]]) -> CandidateBatch:
    """Union of (source bit number, ids) in first-seen order; `sources` is the OR of the bits.

    [(0, [7, 9]), (2, [9, 4])] -> ids [7, 9, 4], sources [1, 5, 4].
    """
    if not parts:
        return CandidateBatch(np.empty(0, np.int64), np.empty(0, np.uint32), MappingProxyType({}))
    ids = np.concatenate([np.asarray(part, np.int64) for _, part in parts])
    bits = np.repeat(
        np.array([1 << bit for bit, _ in parts], np.uint32), [len(part) for _, part in parts]
    )
    unique, first, inverse = np.unique(ids, return_index=True, return_inverse=True)
    sources = np.zeros(len(unique), np.uint32)
    np.bitwise_or.at(sources, inverse, bits)
    order = np.argsort(first)
    return CandidateBatch(unique[order], sources[order], MappingProxyType({}))


def rank_desc(score: NDArray[np.floating[Any]]) -> Rows:
    """Rows by falling score; stable; NaN and infinities last.

    [0.1, nan, 0.9] -> [2, 0, 1].
    """
    finite = np.isfinite(score)
    return np.argsort(np.where(finite, -score, np.inf), kind="stable")


def nth_in_group(group: Column) -> Rows:
    """(n,) number of earlier rows with the same group: [7, 7, 9, 7] -> [0, 1, 0, 2]."""
    order = np.argsort(group, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(group[order]) != 0]) if len(group) else order
    sizes = np.diff(np.r_[starts, len(group)])
    out = np.empty(len(group), np.intp)
    out[order] = np.arange(len(group)) - np.repeat(starts, sizes)
    return out
