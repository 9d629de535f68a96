"""Ids are strings on the wire and one stable hash inside. Changing a function here changes stored data."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import xxhash
from numpy.typing import NDArray

_I64 = 1 << 63
_U64 = 1 << 64


def hash64(text: str) -> int:
    """Signed 64-bit xxh3 of the UTF-8 text; 0 is kept free to mean "nothing".

    >>> hash64("v_555") == hash64("v_555") != hash64("v_556")
    True
    """
    h: int = xxhash.xxh3_64_intdigest(text.encode("utf-8", "surrogatepass"))
    return (h - _U64 if h >= _I64 else h) or 1


def hash64_many(texts: Sequence[str]) -> NDArray[np.int64]:
    """(n,) `hash64` of every text. Texts decoded from JSON hold no lone surrogates, so UTF-8 is safe."""
    digest = xxhash.xxh3_64_intdigest
    out = np.array([digest(text.encode()) for text in texts], np.uint64).view(np.int64)
    out[out == 0] = 1
    return out


def hash32(text: str) -> int:
    """Unsigned 32-bit fold of `hash64`, never 0: for bounded tables whose collisions are tolerable."""
    return fold32(hash64(text))


@lru_cache(maxsize=4096)  # called several times an event, with few different names
def pack_name(name: str | None) -> int:
    """`hash32` of a name out of a small set (a device, a surface), 0 for none."""
    return hash32(name) if name else 0


def fold32(h64: int) -> int:
    """The 32-bit form of a 64-bit hash: its low half, 1 instead of 0."""
    return (h64 & 0xFFFF_FFFF) or 1


def fold32_array(h64: NDArray[np.int64]) -> NDArray[np.uint32]:
    """`fold32` of every element, with 0 ("nothing") kept 0. Any shape in, the same out."""
    low = (h64 & 0xFFFF_FFFF).astype(np.uint32)
    low[(low == 0) & (h64 != 0)] = 1
    return low


@lru_cache(maxsize=4096)  # called once an event
def pack_country(code: str | None) -> int:
    """ISO 3166 alpha-2 as uint16, 0 for unknown; case does not matter.

    >>> pack_country("de") == pack_country("DE") != pack_country(None) == 0
    True
    """
    if not code or len(code) != 2 or not code.isascii() or not code.isalpha():
        return 0
    upper = code.upper()
    return ord(upper[0]) << 8 | ord(upper[1])


def unpack_country(code: int) -> str | None:
    """The two letters of `pack_country`, None for anything that it does not make."""
    letters = chr(code >> 8) + chr(code & 0xFF) if 0 < code <= 0xFFFF else ""
    return letters if letters and pack_country(letters) == code else None


@lru_cache(maxsize=4096)
def pack_language(tag: str | None) -> int:
    """The primary subtag of a BCP 47 language tag as uint16, 0 for unknown: "de-AT" is "de".

    Three-letter languages keep their first two letters; "und" is unknown.
    """
    primary = (tag or "").replace("_", "-").split("-")[0].lower()
    if len(primary) not in (2, 3) or primary == "und":
        return 0
    return pack_country(primary[:2])


def unpack_language(code: int) -> str | None:
    """Two lower-case letters, None for anything that `pack_language` does not make."""
    letters = unpack_country(code)
    return letters.lower() if letters else None
