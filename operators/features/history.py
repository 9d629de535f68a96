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
    return _liked(
        state["hist_video"],
        state["hist_action"],
        state["hist_share"],
        int(state["hist_n"]),
        n,
        _WEIGHTS,
    )


@kernel
def _liked(
    videos: NDArray[np.int64], actions: NDArray[np.uint8], shares: NDArray[np.uint8],
    total: int, n: int, weights: NDArray[np.float32],
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:  # fmt: skip
    found, liking = np.empty(HISTORY, np.int64), np.zeros(HISTORY, np.float64)
    m = 0
    for back in range(1, min(total, HISTORY) + 1):
        slot, at = (total - back) % HISTORY, 0
        while at < m and found[at] != videos[slot]:
            at += 1
        if at == m:
            found[m], m = videos[slot], m + 1
        liking[at] += weights[actions[slot], shares[slot]]
    kept = np.flatnonzero(liking[:m] > 0)[:n]
    return found[kept], liking[kept].astype(np.float32)


def _weights() -> NDArray[np.float32]:
    """(actions, shares) of `taste` for every pair of bytes that a history can hold."""
    events = np.zeros((256, 256), [("action", "u1"), ("share", "f4")])
    events["action"] = np.arange(256)[:, None]
    events["share"] = np.arange(256, dtype=np.float32) / np.float32(100)
    events["share"][:, UNKNOWN_SHARE] = np.nan
    weights = taste(events)
    weights[Action.HOVER] = 0  # looked at is not liked
    return weights


_WEIGHTS: Final = _weights()
