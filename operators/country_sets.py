"""Where a video may be shown: rows share the few distinct sets of countries, one bit a country.

Licences come and go, so a set that no row has any more makes room: else a catalog that turns over
would collect every set that there ever was.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from contracts.batch import Mask
from contracts.features import COUNTRY_WORDS
from contracts.ids import pack_country

EVERYWHERE: Final = 0
NOWHERE: Final = 1
_CROWDED: Final = 4096  # sets beyond twice those that were in use, before it is worth a look
Words = NDArray[np.uint64]


class CountrySets:
    """Set number -> bits. One writer, readers without a lock; a number keeps its meaning in use.

    A number that is found unused is given again only after the next look: who read it from a row
    just before has long asked what it means.
    """

    def __init__(self) -> None:
        self._words: Words = np.zeros((16, COUNTRY_WORDS), np.uint64)
        self._words[EVERYWHERE] = ~np.uint64(0)
        self._numbers: dict[bytes, int] = {
            self._words[EVERYWHERE].tobytes(): EVERYWHERE,
            self._words[NOWHERE].tobytes(): NOWHERE,
        }
        self._seen: dict[tuple[str, ...], int] = {(): EVERYWHERE}
        self._end = len(self._numbers)  # numbers from here on were never given
        self._kept = len(self._numbers)
        self._free: list[int] = []
        self._resting: set[int] = set()

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

    @property
    def crowded(self) -> bool:
        """Whether there may be many that no row has any more."""
        return len(self._numbers) > 2 * self._kept + _CROWDED

    def sweep(self, used: NDArray[np.int32]) -> None:
        """Forget every set but those of `used`, which names all that any row has."""
        keep = {EVERYWHERE, NOWHERE, *np.unique(used).tolist()}
        self._numbers = {bits: number for bits, number in self._numbers.items() if number in keep}
        self._seen = {(): EVERYWHERE}
        unused = set(range(self._end)) - keep
        self._free, self._resting = sorted(unused & self._resting), unused - self._resting
        self._resting |= set(self._free)
        self._kept = len(self._numbers)

    def state(self) -> Words:
        """(m, 12) uint64, row number = set number."""
        return self._words[: self._end].copy()

    @classmethod
    def restore(cls, words: Words) -> "CountrySets":
        """The sets of `state`, with the same numbers."""
        sets = cls()
        sets._words, sets._end = words.astype(np.uint64), len(words)
        for number, row in enumerate(sets._words):
            sets._numbers.setdefault(row.tobytes(), number)
        return sets

    def _number(self, bits: Words) -> int:
        key = bits.tobytes()
        number = self._numbers.get(key)
        if number is None:
            number = self._next()
            self._words[number] = bits
            self._numbers[key] = number
        return number

    def _next(self) -> int:
        if self._free:
            number = self._free.pop()
            self._resting.discard(number)
            return number
        if self._end == len(self._words):
            self._words = np.concatenate([self._words, np.zeros_like(self._words)])
        self._end += 1
        return self._end - 1


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
