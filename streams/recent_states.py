"""What a process knows of the Redis that it writes to: who is active is not read again at each event.

Nothing here is believed for good. A state is written over the version that it was read as, which is a
number drawn for each write; so one that somebody else has changed, restored or deleted meanwhile is
found out there, and read anew.
"""

import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Final

from operators.features.protocol import Records

# Older ones say less than could be forgotten, and a record has only so many slots.
_POSITIONS_S: Final = 0.1
_LARGE: Final = 2048  # people of one batch


class RecentStates:
    """The newest `most` states that were written, as their bytes; belongs to one thread."""

    def __init__(self, most: int = 0) -> None:
        self._most = most
        self._states = OrderedDict[str, bytes]()  # whoever was written longest ago stands first
        self._positions: dict[bytes, bytes] = {}
        self._until_s = 0.0

    def __len__(self) -> int:
        return len(self._states)

    def find(self, users: Sequence[str]) -> list[bytes | None]:
        """The state of each, None where it is not here."""
        if not self._states:  # who catches up keeps nobody
            return [None] * len(users)
        return [self._states.get(user) for user in users]

    def keep(self, users: Sequence[str], records: Records) -> None:
        """These, dropped before, were written.

        Of a large batch nothing is kept: it is catching up, and everybody is in it.
        """
        if not self._most or len(users) > _LARGE:
            return
        flat, size = records.tobytes(), records.dtype.itemsize
        for i, user in enumerate(users):
            self._states[user] = flat[i * size : (i + 1) * size]
        while len(self._states) > self._most:
            self._states.popitem(last=False)

    def drop(self, users: Sequence[str]) -> None:
        """These are about to be written, and it may be that nobody says whether they were."""
        if self._states:
            for user in users:
                self._states.pop(user, None)

    def positions(self) -> dict[bytes, bytes] | None:
        """Those of the flow, None where they have to be read."""
        return self._positions if time.monotonic() < self._until_s else None

    def read(self, positions: Mapping[bytes, bytes]) -> None:
        """These are stored."""
        self._positions, self._until_s = dict(positions), time.monotonic() + _POSITIONS_S

    def moved(self, positions: Mapping[bytes, bytes]) -> None:
        """These were stored by us."""
        self._positions = {**self._positions, **positions}

    def clear(self) -> None:
        """Redis may be another one than it was."""
        self._states.clear()
        self._until_s = 0.0
