"""Which messages a user's record has folded: a few (partition, offset) slots inside the record.

A slot may be reused only when its offset lies below the durable position of its partition: nothing
at or below it can be read again, so forgetting it cannot count an event twice.
"""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

_GENERATION: Final = 32
_TOPIC: Final = 24
TOPIC_CODES: Final = {"events": 1, "profiles": 2, "impressions": 3}
NO_POSITION: Final[int] = -1


def slot_key(generation: int, topic: str, partition: int) -> int:
    """One int64 for a partition of a topic of a generation; never 0.

    >>> slot_key(0, "events", 3) == (1 << 24) + 3
    True
    """
    return generation << _GENERATION | TOPIC_CODES[topic] << _TOPIC | partition


def applied(
    records: NDArray[Any], keys: NDArray[np.int64], offsets: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """(n,) whether record i has folded offset i of partition i already."""
    slots = records["slot_key"] == keys[:, None]
    return np.asarray((slots & (records["slot_offset"] >= offsets[:, None])).any(axis=1))


def advance(
    records: NDArray[Any],
    keys: NDArray[np.int64],
    offsets: NDArray[np.int64],
    durable: Mapping[int, int],
) -> NDArray[np.bool_]:
    """Move record i's slot for partition i to offset i; in place. False where no slot is free.

    Args:
        durable: slot key -> next offset that a replay could start from; a key that is not in it
            belongs to a topic of an older generation, of which nothing is read any more.
    """
    slots = records["slot_key"]
    match = slots == keys[:, None]
    known = match.any(axis=1)
    slot = match.argmax(axis=1)
    for row in np.flatnonzero(~known):  # rare: a person's first event of a partition
        slot[row] = _free_slot(slots[row], records["slot_offset"][row], durable)
    ok = slot >= 0
    at = np.flatnonzero(ok)
    records["slot_key"][at, slot[at]] = keys[at]
    before = np.where(known[at], records["slot_offset"][at, slot[at]], NO_POSITION)
    records["slot_offset"][at, slot[at]] = np.maximum(before, offsets[at])
    return np.asarray(ok)


def _free_slot(
    keys: NDArray[np.int64], offsets: NDArray[np.int64], durable: Mapping[int, int]
) -> int:
    for slot, key in enumerate(keys.tolist()):
        if key == 0:
            return slot
    safe = [
        slot
        for slot, (key, offset) in enumerate(zip(keys.tolist(), offsets.tolist(), strict=True))
        if key not in durable or offset < durable[key]
    ]
    return min(safe, key=lambda slot: int(offsets[slot]), default=-1)
