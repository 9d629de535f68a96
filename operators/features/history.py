"""The last videos with action, time and watched share: what a state can be derived from again."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from contracts.events import Action
from contracts.user_record import HISTORY, UNKNOWN_SHARE
from operators.features.protocol import LiveEvents, Records
from operators.kernel import kernel
from operators.signals import taste

FIELDS: Final = ["hist_n", "hist_video", "hist_s", "hist_action", "hist_share"]
_MOST: Final = 250  # hundredths: 2.5 times through


@dataclass(frozen=True, slots=True, eq=False)
class History:
    """Events about videos, newest first.

    Attributes:
        ids: (n,) int64; at_s: (n,) uint32; actions: (n,) uint8; shares: (n,) float32, NaN unknown.
    """

    ids: NDArray[np.int64]
    at_s: NDArray[np.uint32]
    actions: NDArray[np.uint8]
    shares: NDArray[np.float32]


def fold(records: Records, events: LiveEvents) -> None:
    """Append the event, if it names a video."""
    rows = events.rows[events.rows["video"] != 0]
    hundredths = np.clip(np.nan_to_num(rows["share"]) * 100, 0, _MOST)
    share = np.where(np.isnan(rows["share"]), UNKNOWN_SHARE, hundredths).astype(np.uint8)
    _fold(records[FIELDS], rows, share)


@kernel
def _fold(records: Records, events: NDArray[Any], share: NDArray[np.uint8]) -> None:
    for i, e in enumerate(events):
        r = records[e.user]
        slot = r.hist_n % HISTORY
        r.hist_video[slot] = e.video
        r.hist_s[slot] = (e.ts_ms // 1000) & 0xFFFF_FFFF
        r.hist_action[slot] = e.action
        r.hist_share[slot] = share[i]
        r.hist_n += 1


def recent(state: Any, n: int = HISTORY) -> History:
    """The last `n` events about videos of one record, in the order of arrival, newest first."""
    total = int(state["hist_n"])
    slots = np.arange(total - 1, max(total - min(n, HISTORY), 0) - 1, -1) % HISTORY
    share = state["hist_share"][slots]
    return History(
        state["hist_video"][slots],
        state["hist_s"][slots],
        state["hist_action"][slots],
        np.where(share == UNKNOWN_SHARE, np.float32(np.nan), share / np.float32(100)),
    )


def liked_videos(state: Any, n: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Up to `n` videos that the person took to lately, newest first, and how much (m,) > 0.

    A video's events add up; one that was skipped or refused in sum is left out.
    """
    past = recent(state)
    events = np.zeros(len(past.ids), [("action", "u1"), ("share", "f4")])
    events["action"], events["share"] = past.actions, past.shares
    weight = taste(events)
    weight[past.actions == Action.HOVER] = 0
    unique, first, inverse = np.unique(past.ids, return_index=True, return_inverse=True)
    total = np.bincount(inverse, weight, len(unique)).astype(np.float32)
    newest = np.argsort(first)
    newest = newest[total[newest] > 0][:n]
    return unique[newest], total[newest]
