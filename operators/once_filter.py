"""Whether something happened for the first time: a Bloom filter in two generations.

Blocks of 512 bits (one cache line a key; Putze, Sanders and Singler 2007), 4 bits a key and 16 bits
of room for each: a full generation takes 0.4 % of new keys for known ones, both together 0.8 %. A key
is remembered for one to two generations, each of which ends after `capacity` new keys or after
`windows` windows of event time, whichever comes first. The answer is the same however the keys are
cut into batches.
"""

from collections.abc import Iterable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from contracts.batch import Mask
from operators.mixing import U64, mixed

PAGE_BYTES: Final = 256
_BITS: Final = 4
_BITS_PER_KEY: Final = 16
_BLOCK: Final = 512
_SALT: Final = np.uint64(0x9E3779B97F4A7C15)
_CHUNK: Final = 1 << 20  # a bit's place and a key's number share one 64-bit sort key


class OnceFilter:
    """`capacity` is rounded up to a power of two, at least 1024.

    Attributes:
        bits: (2, bytes) uint8, the filter of generation g in row g % 2.
        generation, inserted, since: what is written beside the bits; `since` is the window in which
            the generation began, None before the first key.
    """

    def __init__(self, capacity: int, windows: int) -> None:
        self.capacity = 1 << (max(capacity, 1024) - 1).bit_length()
        self.windows = windows
        self.bits = np.zeros((2, self.capacity * _BITS_PER_KEY // 8), np.uint8)
        self.generation = 0
        self.inserted = 0
        self.since: int | None = None
        self._dirty = np.zeros((2, self.bits.shape[1] // PAGE_BYTES), np.bool_)
        self._stored = np.zeros_like(self._dirty)

    def admit(self, keys: U64, window: NDArray[np.int64]) -> Mask:
        """(n,) True for keys not seen before, in this call or earlier; remembers them.

        Args:
            keys: (n,) uint64 hashes, in the order of the log.
            window: (n,) number of the window of event time that each belongs to.
        """
        fresh = np.zeros(len(keys), np.bool_)
        start = 0
        while start < len(keys):
            stop = self._end(window, start, min(len(keys), start + _CHUNK))
            start += self._admit(keys[start:stop], window[start:stop], fresh[start:stop])
        return fresh

    def _end(self, window: NDArray[np.int64], start: int, stop: int) -> int:
        """Where this generation is over by time; begins the next if that is at once."""
        if self.since is None:
            self.since = int(window[start])
        if window[start] >= self.since + self.windows:
            self._rotate(int(window[start]))
        late = np.flatnonzero(window[start:stop] >= self.since + self.windows)
        return start + int(late[0]) if len(late) else stop

    def _admit(self, keys: U64, window: NDArray[np.int64], fresh: Mask) -> int:
        """Decide a run of keys of one generation; how many were decided before it was full."""
        now, before = self.bits[self.generation % 2], self.bits[1 - self.generation % 2]
        places = self._places(keys)
        byte, bit = places >> np.uint64(3), np.uint8(1) << (places & np.uint64(7)).astype(np.uint8)
        unset = (now[byte] & bit) == 0
        unset[((before[byte] & bit) != 0).all(axis=1)] = False
        # The first key that needs a bit sets it; a key is new if it is the first for any of its bits.
        key, _ = np.nonzero(unset)
        wanted = np.sort(places[unset] << np.uint64(21) | key.astype(np.uint64))
        place = wanted >> np.uint64(21)
        first = np.r_[True, place[1:] != place[:-1]] if len(place) else np.zeros(0, np.bool_)
        setter = (wanted[first] & np.uint64(0x1F_FFFF)).astype(np.intp)
        fresh[setter] = True
        new = np.flatnonzero(fresh)
        room = self.capacity - self.inserted
        done, place = len(keys), place[first]
        if len(new) >= room:
            done = int(new[room - 1]) + 1
            fresh[done:] = False
            place = place[setter < done]
        self._set(place)
        self.inserted += min(len(new), room)
        if self.inserted >= self.capacity:
            self._rotate(max(self.since or 0, int(window[done - 1])))
        return done

    def _places(self, keys: U64) -> U64:
        """(n, 4) bit numbers: one block a key, four places in it."""
        block = (keys & np.uint64(self.bits.shape[1] * 8 // _BLOCK - 1)) * np.uint64(_BLOCK)
        spread = mixed(keys ^ _SALT)[:, None] >> (np.arange(_BITS, dtype=np.uint64) * np.uint64(9))
        return block[:, None] + (spread & np.uint64(_BLOCK - 1))

    def _set(self, places: U64) -> None:
        """Set bits given in rising order."""
        if not len(places):
            return
        half = self.generation % 2
        byte = (places >> np.uint64(3)).astype(np.intp)
        bit = np.uint8(1) << (places & np.uint64(7)).astype(np.uint8)
        starts = np.flatnonzero(np.r_[True, byte[1:] != byte[:-1]])
        self.bits[half, byte[starts]] |= np.bitwise_or.reduceat(bit, starts)
        self._dirty[half, byte[starts] // PAGE_BYTES] = True

    def _rotate(self, window: int) -> None:
        self.generation += 1
        half = self.generation % 2
        self.bits[half] = 0
        self._dirty[half] = self._stored[half]
        self.inserted = 0
        self.since = window

    def changed(self) -> tuple[dict[tuple[int, int], bytes], list[tuple[int, int]]]:
        """Pages (half, number) to write and to delete since `saved`."""
        pages = self.bits.reshape(2, -1, PAGE_BYTES)
        write: dict[tuple[int, int], bytes] = {}
        delete: list[tuple[int, int]] = []
        for half, page in np.argwhere(self._dirty).tolist():
            content = pages[half, page]
            if content.any():
                write[half, page] = content.tobytes()
            else:
                delete.append((half, page))
        return write, delete

    def saved(self) -> None:
        """What `changed` said is stored."""
        filled = self.bits.reshape(2, -1, PAGE_BYTES).any(axis=2)
        self._stored = np.where(self._dirty, filled, self._stored)
        self._dirty[:] = False

    def fill(self, pages: Iterable[tuple[int, int, bytes]]) -> None:
        """Take over stored pages."""
        view = self.bits.reshape(2, -1, PAGE_BYTES)
        for half, page, content in pages:
            view[half, page] = np.frombuffer(content, np.uint8)
            self._stored[half, page] = True
