"""An event that a producer sent twice counts once: a ring of the last event ids in each record."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from contracts.batch import Mask
from contracts.user_record import EVENT_IDS
from operators.kernel import kernel

FIELDS: Final = ["forgotten_ms", "ids_n", "event_ids"]


def unseen(records: NDArray[Any], events: NDArray[Any]) -> Mask:
    """(n,) which events a record has not seen; their ids are remembered, one after the other.

    What is not newer than the wish of its person to be forgotten counts as seen.
    """
    return _unseen(records[FIELDS], events)


@kernel
def _unseen(records: NDArray[Any], events: NDArray[Any]) -> Mask:
    fresh = np.zeros(len(events), np.bool_)
    for i, e in enumerate(events):
        r = records[e.user]
        if min(e.ts_ms, e.broker_ms) <= r.forgotten_ms:
            continue
        known = False
        for k in range(EVENT_IDS):
            known |= r.event_ids[k] == e.event_id
        if not known:
            fresh[i] = True
            r.event_ids[r.ids_n % EVENT_IDS] = e.event_id
            r.ids_n += 1
    return fresh
