"""ONNX graphs written as formulas: a value knows its graph, and an operator adds a node."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Union

import numpy as np
import onnx
from numpy.typing import DTypeLike, NDArray
from onnx import helper, numpy_helper

from contracts.errors import BundleError

OPSET: Final = 18  # the first with bitwise operators; onnxruntime 1.14 and later
ML_OPSET: Final = 3
_IR: Final = 8  # of the file: what onnxruntime of that time reads
_LARGEST: Final = 2_000_000_000  # bytes that a protobuf message holds
Operand = Union["Value", NDArray[Any], np.generic]


@dataclass(frozen=True, slots=True, eq=False)
class Value:
    """What a node gives. Constants beside it are numpy's, of the type that is meant."""

    graph: "Graph"
    name: str

    def __add__(self, other: Operand) -> "Value":
        return self.graph("Add", self, other)

    def __sub__(self, other: Operand) -> "Value":
        return self.graph("Sub", self, other)

    def __mul__(self, other: Operand) -> "Value":
        return self.graph("Mul", self, other)

    def __truediv__(self, other: Operand) -> "Value":
        return self.graph("Div", self, other)

    def __matmul__(self, other: Operand) -> "Value":
        return self.graph("MatMul", self, other)

    def cast(self, dtype: DTypeLike) -> "Value":
        """The same numbers in another type."""
        return self.graph("Cast", self, to=_onnx_type(dtype))

    def columns(self, first: int, last: int) -> "Value":
        """Columns first to last - 1 of (n, k)."""
        bounds = (np.array([at], np.int64) for at in (first, last, 1))
        return self.graph("Slice", self, *bounds)

    def reshaped(self, *shape: int) -> "Value":
        """In another shape; one size may be -1."""
        return self.graph("Reshape", self, np.array(shape, np.int64))

    def swapped(self, *order: int) -> "Value":
        """With the axes in another order."""
        return self.graph("Transpose", self, perm=list(order))

    def summed(self, axis: int, keep: bool = False) -> "Value":
        """Along an axis."""
        return self.graph("ReduceSum", self, np.array([axis], np.int64), keepdims=int(keep))

    def finite(self) -> "Value":
        """Whether each is a number that is neither NaN nor infinite."""
        g = self.graph
        return g("Not", g("Or", g("IsNaN", self), g("IsInf", self)))

    def clipped(self, low: Operand, high: Operand) -> "Value":
        """Between two bounds."""
        return self.graph("Min", self.graph("Max", self, low), high)


class Graph:
    """One graph under construction. The first axis of every input and output is the batch's."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []

    def __call__(self, op: str, *inputs: Operand, domain: str = "", **attributes: Any) -> Value:
        """A node with one result."""
        result = f"{op}_{len(self._nodes)}"
        named = [self._named(value) for value in inputs]
        self._nodes.append(
            helper.make_node(op, named, [result], result, domain=domain, **attributes)
        )
        return Value(self, result)

    def input(self, name: str, dtype: DTypeLike, *shape: int | str) -> Value:
        """(n, *shape); a text names a size that may differ from call to call."""
        self._inputs.append(_info(name, dtype, shape))
        return Value(self, name)

    def output(self, name: str, value: Value, dtype: DTypeLike, *shape: int) -> None:
        """(n, *shape)."""
        self._nodes.append(helper.make_node("Identity", [value.name], [name], name))
        self._outputs.append(_info(name, dtype, shape))

    def joined(self, values: Sequence[Value]) -> Value:
        """(n, k) side by side."""
        return self("Concat", *values, axis=1)

    def looked_up(self, keys: Value, known: NDArray[np.int64], default: int) -> Value:
        """Place of each key among the known ones, `default` where it is none of them."""
        if not len(known):
            return keys * np.int64(0) + np.int64(default)
        return self(
            "LabelEncoder", keys, domain="ai.onnx.ml", keys_int64s=known.tolist(),
            values_int64s=list(range(len(known))), default_int64=default,
        )  # fmt: skip

    def model(self, about: dict[str, str]) -> onnx.ModelProto:
        """The checked graph; `about` is what its metadata says.

        Raises:
            BundleError: it is larger than a file of this format may be.
        """
        graph = helper.make_graph(
            self._nodes, self.name, self._inputs, self._outputs, self._constants
        )
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", ML_OPSET)]
        model = helper.make_model(
            graph, opset_imports=opsets, ir_version=_IR, producer_name="headrace"
        )
        helper.set_model_props(model, about)
        if (size := model.ByteSize()) > _LARGEST:
            raise BundleError(f"{self.name} has {size:,} bytes, an ONNX file holds {_LARGEST:,}")
        onnx.checker.check_model(model, full_check=True)
        return model

    def _named(self, value: Operand) -> str:
        if isinstance(value, Value):
            return value.name
        name = f"constant_{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name


def _info(name: str, dtype: DTypeLike, shape: Sequence[int | str]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, _onnx_type(dtype), ["n", *shape])


def _onnx_type(dtype: DTypeLike) -> int:
    return int(helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))
