"""float32 to float16 and back, compiled.

numpy casts halves one at a time, and whole-array operations on their bits go through memory nine times:
that was a quarter of a step of the tower. Values are rounded to nearest, ties away from zero; what a
half cannot hold, or is no number, becomes the largest.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from contracts.models import F32
from operators.kernel import kernel

U16 = NDArray[np.uint16]
_DOWN: Final = np.float32(2.0**-112)  # the exponents' biases differ by 127 - 15
_UP: Final = np.float32(2.0**112)
_LARGEST: Final = np.float32(65_504)
_DROPPED: Final = np.uint32(13)  # bits of the fraction
_TIE: Final = np.uint32(1 << 12)
_TO_SIGN: Final = np.uint32(16)
_SIGN: Final = np.uint32(0x8000)
_SPREAD: Final = np.int32(~0x7000_0000)  # all bits but the three that a widened sign has filled


def compile_now() -> None:
    """So that no event, and no feed that derives a state, waits for it."""
    from_halves(to_halves(np.zeros(1, np.float32)))


def to_halves(x: F32) -> U16:
    """The bits of float16, in an array of the same shape."""
    halves = np.empty(x.shape, np.uint16)
    _narrow(np.ascontiguousarray(x).reshape(-1), halves.reshape(-1))
    return halves


def from_halves(halves: U16) -> F32:
    """What the bits of float16 say."""
    x = np.empty(halves.shape, np.float32)
    aligned = np.require(halves, requirements=["C", "A"])  # a field of a record may not be
    _widen(aligned.reshape(-1).view(np.int16), x.reshape(-1))
    return x


@kernel
def _narrow(x: F32, halves: U16) -> None:
    scaled = np.empty(len(x), np.float32)
    for i in range(len(x)):
        bounded = x[i] if x[i] < _LARGEST else _LARGEST  # a NaN is not less
        scaled[i] = (bounded if bounded > -_LARGEST else -_LARGEST) * _DOWN
    bits = scaled.view(np.uint32)
    for i in range(len(x)):
        rounded = bits[i] + _TIE
        halves[i] = rounded >> _DROPPED | rounded >> _TO_SIGN & _SIGN


@kernel
def _widen(halves: NDArray[Any], x: F32) -> None:
    bits = x.view(np.int32)
    for i in range(len(x)):
        bits[i] = np.int32(halves[i]) << _DROPPED & _SPREAD
    for i in range(len(x)):
        x[i] *= _UP
