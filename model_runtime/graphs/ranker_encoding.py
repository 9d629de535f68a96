"""`model_runtime.ranker_inputs` as nodes: columns to pieces of numbers and keys of names."""

from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from contracts.batch import ColumnSpec
from contracts.features import FEATURE_COLUMNS, VIDEO_COLUMNS
from model_runtime.graphs.graph import Graph, Value
from model_runtime.ranker_form import RankerForm
from model_runtime.ranker_inputs import FAR, GOLDEN, SHIFT, Encoder

_SPECS: Final[Mapping[str, ColumnSpec]] = {
    spec.name: spec for spec in (*VIDEO_COLUMNS, *FEATURE_COLUMNS)
}
_ZERO, _ONE = np.int64(0), np.int64(1)
Columns = Mapping[str, Value]


def columns_of(g: Graph, form: RankerForm) -> Columns:
    """An input for each column that is read, as the feature list declares it."""
    specs = (_SPECS[name] for name in form.features)
    return {spec.name: g.input(spec.name, spec.dtype, *spec.shape) for spec in specs}


def numbers_of(encoder: Encoder, columns: Columns) -> Value:
    """(n, numbers) float32: finite, and between the outermost edges."""
    names = encoder.form.numbers
    each = [columns[name].cast(np.float32).reshaped(-1, 1) for name in names]
    values = each[0].graph.joined(each)
    defaults = np.array([_SPECS[name].default for name in names], np.float32)
    inside = values.clipped(encoder.least, encoder.most)
    return values.graph("Where", values.finite(), inside, defaults)


def pieces_of(encoder: Encoder, numbers: Value) -> Value:
    """(n, numbers x bins) between 0 and 1."""
    low, per_unit = encoder.low, encoder.per_unit
    apart = numbers.reshaped(-1, len(low), 1) - low
    inside = (apart * per_unit).clipped(np.float32(0), np.float32(1))
    return inside.reshaped(-1, low.size)


def keys_of(encoder: Encoder, columns: Columns, numbers: Value) -> Value:
    """(n, slots + crosses) int64 keys, 0 for nothing."""
    form, g = encoder.form, numbers.graph
    names = [_whole(columns[name]).reshaped(-1, b - a)
             for name, (a, b) in zip(form.names, form.slots, strict=True)]  # fmt: skip
    lefts, rights = list[Value](), list[Value]()
    for left, right in form.crosses:
        one, other = (_part(encoder, name, columns, numbers) for name in (left, right))
        lefts.append(g("Where", g("Equal", other, _ZERO), _ZERO, one))
        rights.append(other)
    nothing = [name * _ZERO for name in names]
    return _mixed(encoder.field.view(np.int64), g.joined(names + lefts), g.joined(nothing + rights))


def _part(encoder: Encoder, name: str, columns: Columns, numbers: Value) -> Value:
    """(n, 1) of a name its value, of a number 1 and the inner edges at or below it."""
    if name not in encoder.form.numbers:
        return _whole(columns[name]).reshaped(-1, 1)
    i = encoder.form.numbers.index(name)
    reached = numbers.graph("GreaterOrEqual", numbers.columns(i, i + 1), encoder.edges[i, 1:-1])
    return reached.cast(np.int64).summed(1, keep=True) + _ONE


def _whole(column: Value) -> Value:
    """Int64 of any type: what is no number is 0, what is too large the largest."""
    number = column.cast(np.float64)  # holds every name: they have 32 bits at most, or are floats
    known = column.graph("Where", number.finite(), number, np.float64(0))
    far = np.float64(np.float32(FAR))  # as a column of float32 is clipped
    return known.clipped(-far, far).cast(np.int64)


def _mixed(field: NDArray[np.int64], one: Value, other: Value) -> Value:
    """As in `ranker_inputs`; products of int64 wrap around, as those of uint64 do."""
    g, golden = one.graph, GOLDEN.view(np.int64)

    def folded(h: Value) -> Value:
        high = g("BitShift", h.cast(np.uint64), SHIFT, direction="RIGHT").cast(np.int64)
        return g("BitwiseXor", h, high)

    h = folded((folded((one + field) * golden) + other) * golden)
    return g("Where", g("Equal", one, _ZERO), _ZERO, g("BitwiseOr", h, _ONE))
