"""Every person's events in order, as ragged columns: what a recurrence is trained on."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from contracts.events import MAX_TIMESTAMP_MS, Action, to_ms
from contracts.models import MOMENT
from contracts.user_record import new_profiles, new_users, user_dtype
from model_runtime.training.layout import Clock
from model_runtime.training.log import Log
from operators.features.sessions import gaps_s
from operators.profile_fold import tell
from operators.user_fold import MOMENT_FIELDS

_NEVER: Final = MAX_TIMESTAMP_MS


@dataclass(frozen=True, slots=True, eq=False)
class Sequences:
    """u people, n events that the user tower hears; person i has events offsets[i] to offsets[i + 1].

    Attributes:
        users: ids of the people.
        videos: how many videos `item` may point to.
        offsets: (u + 1,) int64.
        item: (n,) int32 into `Log.videos`, -1 where an event names no video (a search, say).
        action: (n,) uint8, `contracts.events.Action`.
        share: (n,) float32 watched share, of a rating its share of five stars; NaN unknown.
        gap_s: (n,) float32 seconds since the person's event before, as the stream sees it; 0 for the
            first, and everywhere where the clock only says the order.
        timestamp_ms: (n,) int64; not a time where the clock only says the order.
        row: (n,) int64, the event's row in the log.
        moment: (n,) of `contracts.models.MOMENT`; without times where the clock only says the order.
        profile: (u,) of `contracts.user_record.PROFILE`, as told before a person's first event.
    """

    users: Sequence[str]
    videos: int
    offsets: NDArray[np.int64]
    item: NDArray[np.int32]
    action: NDArray[np.uint8]
    share: NDArray[np.float32]
    gap_s: NDArray[np.float32]
    timestamp_ms: NDArray[np.int64]
    row: NDArray[np.int64]
    moment: NDArray[Any]
    profile: NDArray[Any]
    clock: Clock

    def __len__(self) -> int:
        """People."""
        return len(self.users)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """(u,) events of each person."""
        return np.diff(self.offsets)


def sequences(log: Log) -> Sequences:
    """The log, person by person; each in the order of arrival, which is that of the stream."""
    rows = log.rows
    gaps = gaps_s(new_users(len(log.users), user_dtype(0, 0)), rows)
    if log.about.clock == "order":
        gaps = np.zeros(len(rows), np.float32)
    order = np.argsort(rows["user"], kind="stable")
    order = order[rows["action"][order] != Action.SCROLL]
    counts = np.bincount(rows["user"][order], minlength=len(log.users))
    return Sequences(
        log.users,
        len(log.videos),
        np.r_[0, np.cumsum(counts)].astype(np.int64),
        log.item[order],
        rows["action"][order],
        log.share[order],
        gaps[order],
        rows["ts_ms"][order],
        order.astype(np.int64),
        _moments(log, order),
        _profiles(log),
        log.about.clock,
    )


def _moments(log: Log, order: NDArray[np.intp]) -> NDArray[Any]:
    moments = log.rows[MOMENT_FIELDS][order].astype(MOMENT)
    if log.about.clock == "order":
        moments["ts_ms"] = 0
    return moments


def _profiles(log: Log) -> NDArray[Any]:
    """What people had told before they did anything; what they tell later moves no tower."""
    profiles, first = new_profiles(len(log.users)), np.full(len(log.users), _NEVER)
    np.minimum.at(first, log.rows["user"], log.rows["broker_ms"])
    for user, (name, first_ms) in enumerate(zip(log.users, first.tolist(), strict=True)):
        profile = log.profiles.get(name)
        if profile and (log.about.clock == "order" or to_ms(profile.created_at or 0) <= first_ms):
            tell(profiles[user : user + 1][0], profile)
    return profiles
