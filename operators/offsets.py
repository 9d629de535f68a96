"""Which messages a user's record has folded: a few (partition, offset) slots inside the record.

A slot may be reused only when its offset lies below the durable position of its partition: nothing
at or below it can be read again, so forgetting it cannot count an event twice.
"""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from contracts.batch import Rows
from contracts.user_record import OFFSET_SLOTS
from operators.kernel import kernel

_GENERATION: Final = 32
_TOPIC: Final = 24
TOPIC_CODES: Final = {"events": 1, "profiles": 2, "impressions": 3}
FIELDS: Final = ["slot_key", "slot_offset"]
# Verdicts of `admit`.
NEW, APPLIED, NO_SLOT = 0, 1, 2


def slot_key(generation: int, topic: str, partition: int) -> int:
    """One int64 for a partition of a topic of a generation; never 0 for a topic that records note.

    >>> slot_key(0, "events", 3) == (1 << 24) + 3
    True
    """
    return generation << _GENERATION | TOPIC_CODES.get(topic, 0) << _TOPIC | partition


def admit(
    records: NDArray[Any],
    users: Rows,
    keys: NDArray[np.int64],
    offsets: NDArray[np.int64],
    durable: Mapping[int, int],
) -> NDArray[np.uint8]:
    """Note message i (partition key i, offset i) in record `users[i]`, one after the other.

    Args:
        durable: slot key -> next offset that a replay could start from; a key that is not in it
            belongs to a topic of an older generation, of which nothing is read any more.

    Returns:
        (n,) NEW: to be folded; APPLIED: it was folded before; NO_SLOT: it could not be noted.
    """
    known = np.array([*durable.items()], np.int64).reshape(-1, 2)
    return _admit(records[FIELDS], users, keys, offsets, known)


@kernel
def _admit(
    records: NDArray[Any],
    users: Rows,
    keys: NDArray[np.int64],
    offsets: NDArray[np.int64],
    durable: NDArray[np.int64],
) -> NDArray[np.uint8]:
    verdict = np.zeros(len(users), np.uint8)
    for i in range(len(users)):
        r = records[users[i]]
        found, reusable = -1, -1
        for slot in range(OFFSET_SLOTS):
            if r.slot_key[slot] == keys[i]:
                found = slot
                break
            if r.slot_key[slot] == 0:
                if reusable < 0 or r.slot_key[reusable] != 0:
                    reusable = slot
                continue
            safe = True
            for d in range(len(durable)):
                if durable[d, 0] == r.slot_key[slot]:
                    safe = r.slot_offset[slot] < durable[d, 1]
            if safe and (
                reusable < 0
                or (r.slot_key[reusable] != 0 and r.slot_offset[slot] < r.slot_offset[reusable])
            ):
                reusable = slot
        if found < 0 and reusable < 0:
            verdict[i] = NO_SLOT
        elif found >= 0 and r.slot_offset[found] >= offsets[i]:
            verdict[i] = APPLIED
        else:
            slot = found if found >= 0 else reusable
            r.slot_key[slot] = keys[i]
            r.slot_offset[slot] = offsets[i]
    return verdict
