"""Creators followed and blocked, and videos that the person is not interested in."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from contracts.batch import CandidateBatch, Column
from contracts.events import Action
from contracts.features import VIEWER_COLUMNS
from contracts.ids import fold32_array
from contracts.user_record import FOLLOWS, REFUSED
from operators.features.protocol import Feature, Records, Round

_SPEC: Final = {spec.name: spec for spec in VIEWER_COLUMNS}


def fold(records: Records, rounds: Round) -> None:
    """Follow, unfollow, refuse; the oldest of a full list gives way."""
    action = rounds.events["action"]
    creators = rounds.events["creator"]
    leave = np.flatnonzero((action == Action.UNFOLLOW) & (creators != 0))
    join = np.flatnonzero((action == Action.FOLLOW) & (creators != 0))
    for rows in (leave, join):  # who follows again moves to the newest place
        follows = records["follows"][rows]
        follows[follows == creators[rows, None]] = 0
        records["follows"][rows] = follows
    _append(records, "follows", "follows_n", FOLLOWS, join, creators[join])
    refuse = np.flatnonzero(action == Action.NOT_INTERESTED)
    videos = fold32_array(rounds.events["video"][refuse])
    _append(records, "refused", "refused_n", REFUSED, refuse, videos)


def _append(
    records: Records,
    field: str,
    count: str,
    size: int,
    rows: NDArray[np.intp],
    values: NDArray[np.uint32],
) -> None:
    records[field][rows, records[count][rows] % size] = values
    records[count][rows] += 1


def followed(state: Any) -> NDArray[np.uint32]:
    """(m,) 32-bit hashes of the creators that the person follows."""
    follows: NDArray[np.uint32] = state["follows"]
    return np.asarray(follows[follows != 0])


def _follows_creator(state: Any, batch: CandidateBatch, now_ms: int, language: int) -> Column:
    return np.isin(batch["creator"], followed(state)).astype(np.float32)


FEATURES: Final = (Feature(_SPEC["follows_creator"], _follows_creator),)
