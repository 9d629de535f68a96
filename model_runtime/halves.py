"""float32 to float16 and back by whole-array operations.

numpy casts halves one at a time; a state of 512 numbers costs more to cast so than to step. Values are
rounded to nearest, ties away from zero; what a half cannot hold, or is no number, becomes the largest.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from contracts.models import F32

U16 = NDArray[np.uint16]
_DOWN: Final = np.float32(2.0**-112)  # the exponents' biases differ by 127 - 15
_UP: Final = np.float32(2.0**112)
_LARGEST: Final = np.float32(65_504)
_DROPPED: Final = np.uint32(13)  # bits of the fraction
_TIE: Final = np.uint32(1 << 12)
_SIGN: Final = np.uint32(0x8000)
_SPREAD: Final = np.int32(~0x7000_0000)  # all bits but the three that a widened sign has filled


def to_halves(x: F32) -> U16:
    """The bits of float16, in an array of the same shape."""
    scaled = np.fmin(x, _LARGEST)  # of a NaN it takes the other
    np.fmax(scaled, -_LARGEST, out=scaled)
    scaled *= _DOWN
    bits = scaled.view(np.uint32)
    bits += _TIE
    bits >>= _DROPPED
    sign = bits >> np.uint32(3)
    sign &= _SIGN
    bits |= sign
    return bits.astype(np.uint16)


def from_halves(halves: U16) -> F32:
    """What the bits of float16 say."""
    bits = halves.view(np.int16).astype(np.int32)
    bits <<= np.int32(_DROPPED)
    bits &= _SPREAD
    x = bits.view(np.float32)
    x *= _UP
    return x
