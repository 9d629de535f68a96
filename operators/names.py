"""Readable names of 32-bit hashes (categories, creators, tags), compact and bounded."""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.dtypes import StringDType
from numpy.typing import NDArray

from contracts.ids import hash32, unpack_language
from operators.id_table import IdTable
from operators.texts import pack_texts, unpack_texts

_MOST: Final = 1 << 22  # names kept; those that come later have none
_CACHED: Final = 1 << 16


class Names:
    """32-bit hash -> name. One writer, readers without a lock."""

    def __init__(self) -> None:
        self._index = IdTable()
        self._texts: NDArray[Any] = np.empty(1024, StringDType())
        self._n = 0
        self._cache: dict[str, int] = {}

    def intern(self, name: str) -> int:
        """The name's hash; the name is kept."""
        h = self._cache.get(name)
        if h is None:
            h = hash32(name)
            if len(self._cache) >= _CACHED:
                self._cache.clear()
            self._cache[name] = h
            self._keep(h, name)
        return h

    def get(self, h: int) -> str | None:
        """The name of a hash (or of a packed language), None if it was never seen."""
        at = int(self._index.get(np.array([h], np.int64))[0])
        if at >= 0:
            return str(self._texts[at])
        letters = 65 <= h >> 8 <= 90 and 65 <= (h & 0xFF) <= 90
        return unpack_language(h) if letters else None

    def _keep(self, h: int, name: str) -> None:
        key = np.array([h], np.int64)
        if self._n >= _MOST or self._index.get(key)[0] >= 0:
            return
        if self._n == len(self._texts):
            grown: NDArray[Any] = np.empty(4 * self._n, StringDType())
            grown[: self._n] = self._texts
            self._texts = grown
        self._texts[self._n] = name
        self._index.put(key, np.array([self._n], np.int32))
        self._n += 1

    def state(self) -> dict[str, NDArray[Any] | bytes]:
        """All names, for a snapshot."""
        return pack_texts("names", self._texts[: self._n])

    @classmethod
    def restore(cls, state: Mapping[str, NDArray[Any] | bytes]) -> "Names":
        """The names of `state`."""
        names = cls()
        texts = unpack_texts("names", state)
        names._n = len(texts)
        names._texts = np.empty(max(1024, len(texts)), StringDType())
        names._texts[: len(texts)] = np.array(texts, StringDType())
        hashes = np.array([hash32(text) for text in texts if text is not None], np.int64)
        names._index.put(hashes, np.arange(len(texts), dtype=np.int32))
        return names
