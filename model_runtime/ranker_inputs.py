"""From feature columns to what the trained ranker's networks see; one code for training and serving.

A number is cut at the quantiles of the training data: piece b of it runs from 0 to 1 while the number
goes from edge b to edge b + 1 (piecewise linear encoding, Gorishniy et al. 2022). So its scale does
not matter, and what is far outside of all that was seen counts as the farthest that was. Names and
crosses are looked up among those that training saw often enough; row 0 is all others, and nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from contracts.batch import Column
from contracts.features import FEATURE_COLUMNS, VIDEO_COLUMNS
from contracts.models import F32
from model_runtime.ranker_form import RankerForm

_DEFAULTS: Final = {spec.name: float(spec.default) for spec in (*VIDEO_COLUMNS, *FEATURE_COLUMNS)}
FAR: Final = 1e15  # no name is so large, and no number means more
GOLDEN: Final = np.uint64(0x9E37_79B9_7F4A_7C15)
SHIFT: Final = np.uint64(31)


@dataclass(frozen=True, slots=True, eq=False)
class Encoded:
    """n rows.

    Attributes:
        pieces: (n, numbers x bins) float32, 0 to 1.
        tokens: (n, slots + crosses) int32 rows of the tables, 0 for nothing.
    """

    pieces: F32
    tokens: NDArray[np.int32]


class Encoder:
    """What training found out about the columns, applied to rows.

    Args:
        edges: (numbers, bins + 1) float32, ascending; +inf where a number has fewer pieces.
        keys: (k,) int64, ascending: names and crosses that have a row, the first one row 1.

    Attributes:
        low, per_unit: (numbers, bins) float32, where each piece begins, and 1 / its width.
        least, most: (numbers,) float32, the outermost edges.
        field: (slots + crosses,) uint64, what tells the keys of one from those of another.
    """

    def __init__(self, form: RankerForm, edges: F32, keys: NDArray[np.int64]) -> None:
        self.form, self.edges, self.keys = form, edges, keys
        used = np.isfinite(edges[:, 1:])
        self.low = np.where(used, edges[:, :-1], np.float32(0))
        width = np.where(used, edges[:, 1:], np.float32(1)) - self.low
        self.per_unit = np.where(used, 1 / width, 0).astype(np.float32)
        there = np.isfinite(edges)
        some = there.any(axis=1)
        self.least = np.where(some, edges[:, 0], -FAR).astype(np.float32)
        self.most = np.where(some, np.where(there, edges, -np.inf).max(axis=1), FAR)
        self.most = self.most.astype(np.float32)
        widths = [b - a for a, b in form.slots] + [1] * len(form.crosses)
        self.field = np.repeat(np.arange(1, len(widths) + 1), widths).astype(np.uint64)
        self._defaults = np.array([_DEFAULTS[name] for name in form.numbers], np.float32)

    def __call__(self, columns: Mapping[str, Column], n: int) -> Encoded:
        """Of n rows; NaN and infinities count as the column's default."""
        values = self.numbers(columns, n)
        pieces = (values[:, :, None] - self.low) * self.per_unit
        np.clip(pieces, 0, 1, out=pieces)
        return Encoded(
            pieces.reshape(n, self.edges.shape[0] * self.form.bins),
            self._rows(self.keys_of(columns, values)),
        )

    def numbers(self, columns: Mapping[str, Column], n: int) -> F32:
        """(n, numbers) float32, finite, and between the outermost edges."""
        values = np.empty((n, len(self.form.numbers)), np.float32)
        for i, name in enumerate(self.form.numbers):
            values[:, i] = columns[name]
        known = np.isfinite(values)
        np.clip(values, self.least, self.most, out=values)
        out: F32 = values if known.all() else np.where(known, values, self._defaults)
        return out

    def keys_of(self, columns: Mapping[str, Column], values: F32) -> NDArray[np.int64]:
        """(n, slots + crosses) keys of the names and crosses of n rows, 0 for nothing.

        Args:
            values: (n, numbers), `numbers`.
        """
        form = self.form
        one = np.empty((len(values), len(self.field)), np.int64)
        other = np.zeros_like(one)
        for name, (a, b) in zip(form.names, form.slots, strict=True):
            one[:, a:b] = _whole(columns[name]).reshape(len(values), b - a)
        for at, (left, right) in enumerate(form.crosses, len(self.field) - len(form.crosses)):
            one[:, at] = self._part(left, columns, values)
            other[:, at] = self._part(right, columns, values)
            one[other[:, at] == 0, at] = 0
        return _mixed(self.field, one, other)

    def _part(self, name: str, columns: Mapping[str, Column], values: F32) -> NDArray[np.int64]:
        """(n,) of a name its value, of a number 1 and the inner edges at or below it."""
        if name not in self.form.numbers:
            return _whole(columns[name])
        i = self.form.numbers.index(name)
        return np.searchsorted(self.edges[i, 1:-1], values[:, i], "right") + 1

    def _rows(self, keys: NDArray[np.int64]) -> NDArray[np.int32]:
        if not len(self.keys):
            return np.zeros(keys.shape, np.int32)
        at = np.searchsorted(self.keys, keys)
        at[at == len(self.keys)] = 0
        found = (self.keys[at] == keys) & (keys != 0)
        return np.where(found, at + 1, 0).astype(np.int32)


def _whole(column: NDArray[Any]) -> NDArray[np.int64]:
    if column.dtype.kind == "f":
        column = np.clip(np.nan_to_num(column, nan=0, posinf=0, neginf=0), -FAR, FAR)
    return column.astype(np.int64)


def _mixed(
    field: NDArray[np.uint64], one: NDArray[np.int64], other: NDArray[np.int64]
) -> NDArray[np.int64]:
    """One key of a field and two values, 0 where the first is 0; two alike of 10^4 are 1 in 10^11."""
    h = (one.view(np.uint64) + field) * GOLDEN
    h = ((h ^ (h >> SHIFT)) + other.view(np.uint64)) * GOLDEN
    h ^= h >> SHIFT
    return np.where(one != 0, h.view(np.int64) | 1, 0)
