"""Creators followed and blocked, and videos that the person is not interested in."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from contracts.batch import CandidateBatch, Column
from contracts.events import Action
from contracts.features import VIEWER_COLUMNS
from contracts.ids import fold32_array
from contracts.user_record import FOLLOWS, REFUSED
from operators.features.protocol import Asked, Feature, LiveEvents, Records
from operators.kernel import kernel

FOLLOW, UNFOLLOW = int(Action.FOLLOW), int(Action.UNFOLLOW)  # a kernel knows plain numbers
NOT_INTERESTED: Final = int(Action.NOT_INTERESTED)
FIELDS: Final = ["follows_n", "follows", "refused_n", "refused"]
_SPEC: Final = {spec.name: spec for spec in VIEWER_COLUMNS}


def fold(records: Records, events: LiveEvents) -> None:
    """Follow, unfollow, refuse; the oldest of a full list gives way."""
    rows = events.rows
    about = np.isin(rows["action"], (FOLLOW, UNFOLLOW)) & (rows["creator"] != 0)
    rows = rows[about | (rows["action"] == NOT_INTERESTED)]
    _fold(records[FIELDS], rows, fold32_array(rows["video"]))


@kernel
def _fold(records: Records, events: NDArray[Any], videos: NDArray[np.uint32]) -> None:
    for i, e in enumerate(events):
        r = records[e.user]
        if e.action == NOT_INTERESTED:
            r.refused[r.refused_n % REFUSED] = videos[i]
            r.refused_n += 1
            continue
        for slot in range(FOLLOWS):  # who follows again moves to the newest place
            if r.follows[slot] == e.creator:
                r.follows[slot] = 0
        if e.action == FOLLOW:
            r.follows[r.follows_n % FOLLOWS] = e.creator
            r.follows_n += 1


def followed(state: Any) -> NDArray[np.uint32]:
    """(m,) 32-bit hashes of the creators that the person follows."""
    follows: NDArray[np.uint32] = state["follows"]
    return np.asarray(follows[follows != 0])


def _follows_creator(state: Any, batch: CandidateBatch, asked: Asked) -> Column:
    creators = followed(state)
    if not len(creators):
        return np.zeros(len(batch), np.float32)
    return np.isin(batch["creator"], creators).astype(np.float32)


FEATURES: Final = (Feature(_SPEC["follows_creator"], _follows_creator),)
