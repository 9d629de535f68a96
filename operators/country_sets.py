"""Where a video may be shown: rows share the few distinct sets of countries, one bit a country."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from contracts.batch import Mask
from contracts.features import COUNTRY_WORDS
from contracts.ids import pack_country

EVERYWHERE: Final = 0
NOWHERE: Final = 1
Words = NDArray[np.uint64]


class CountrySets:
    """Set number -> bits. One writer, readers without a lock; a number keeps its meaning."""

    def __init__(self) -> None:
        self._words: Words = np.zeros((16, COUNTRY_WORDS), np.uint64)
        self._words[EVERYWHERE] = ~np.uint64(0)
        self._numbers: dict[bytes, int] = {
            self._words[EVERYWHERE].tobytes(): EVERYWHERE,
            self._words[NOWHERE].tobytes(): NOWHERE,
        }
        self._seen: dict[tuple[str, ...], int] = {(): EVERYWHERE}

    def __len__(self) -> int:
        return len(self._numbers)

    def intern(self, countries: tuple[str, ...]) -> int:
        """The number of this set; codes that are no country allow nothing."""
        number = self._seen.get(countries)
        if number is None:
            number = self._number(_bits(countries))
            if len(self._seen) > 4096:
                self._seen = {(): EVERYWHERE}
            self._seen[countries] = number
        return number

    def allowed(self, country: int, numbers: NDArray[np.int32]) -> Mask:
        """(n,) whether the packed country is in the set; an unknown one (0) only in EVERYWHERE."""
        at = _position(country)
        if at is None:
            return np.asarray(numbers == EVERYWHERE)
        word, bit = divmod(at, 64)
        return np.asarray((self._words[numbers, word] >> np.uint64(bit)) & np.uint64(1), np.bool_)

    def state(self) -> Words:
        """(m, 12) uint64, row number = set number."""
        return self._words[: len(self._numbers)].copy()

    @classmethod
    def restore(cls, words: Words) -> "CountrySets":
        """The sets of `state`, with the same numbers."""
        sets = cls()
        for row in words[2:]:
            sets._number(row)
        return sets

    def _number(self, bits: Words) -> int:
        key = bits.tobytes()
        number = self._numbers.get(key)
        if number is None:
            number = len(self._numbers)
            if number == len(self._words):
                self._words = np.concatenate([self._words, np.zeros_like(self._words)])
            self._words[number] = bits
            self._numbers[key] = number
        return number


def _position(country: int) -> int | None:
    """Bit of a packed alpha-2 code, None if it is none: AA is 0, ZZ 675."""
    first, second = (country >> 8) - 65, (country & 0xFF) - 65
    return first * 26 + second if 0 <= first < 26 and 0 <= second < 26 else None


def _bits(countries: Sequence[str]) -> Words:
    bits = np.zeros(COUNTRY_WORDS, np.uint64)
    for at in filter(lambda p: p is not None, (_position(pack_country(c)) for c in countries)):
        word, bit = divmod(int(at or 0), 64)
        bits[word] |= np.uint64(1 << bit)
    return bits
