"""float32 to float16 and back by whole-array integer operations.

numpy casts halves one at a time; a state of 512 numbers costs more to cast so than to step. Values
are rounded to nearest, ties to even, as numpy does; what a half cannot hold becomes the largest.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from contracts.models import F32

U16 = NDArray[np.uint16]
_DOWN: Final = np.float32(2.0**-112)  # the exponents' biases differ by 127 - 15
_UP: Final = np.float32(2.0**112)
_LARGEST: Final = np.uint32(0x7BFF)


def to_halves(x: F32) -> U16:
    """The bits of float16, in an array of the same shape."""
    bits = (np.abs(x) * _DOWN).view(np.uint32)
    odd = bits >> np.uint32(13)
    odd &= np.uint32(1)
    bits += odd
    bits += np.uint32(0xFFF)
    bits >>= np.uint32(13)
    np.minimum(bits, _LARGEST, out=bits)
    sign = x.view(np.uint32) >> np.uint32(16)
    sign &= np.uint32(0x8000)
    bits |= sign
    return bits.astype(np.uint16)


def from_halves(halves: U16) -> F32:
    """What the bits of float16 say."""
    bits = halves.astype(np.uint32)
    sign = bits & np.uint32(0x8000)
    bits ^= sign
    bits <<= np.uint32(13)
    x: F32 = bits.view(np.float32)
    x *= _UP
    sign <<= np.uint32(16)
    bits |= sign
    return x
