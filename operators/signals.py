"""How much an event says about taste: one table, used by affinities, history and neighbours."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from contracts.events import Action

COMPLETE_SHARE: Final = 0.9
_TABLE: Final = np.zeros(256, np.float32)  # a stored action may be one of a later release
for _action, _weight in {
    Action.CLICK: 1.0, Action.LIKE: 3.0, Action.UNLIKE: -3.0, Action.SHARE: 3.0,
    Action.COMMENT: 2.0, Action.FOLLOW: 3.0, Action.UNFOLLOW: -3.0, Action.SKIP: -1.0,
    Action.NOT_INTERESTED: -5.0, Action.HOVER: 0.1,
}.items():  # fmt: skip
    _TABLE[_action] = _weight


def taste(events: NDArray[Any]) -> NDArray[np.float32]:
    """(n,) signed weight of each event; a watch counts twice its share, a rating its stars above 3.

    A watch of less than a tenth says "no" a little: share 0 weighs -0.25, share 0.1 weighs 0.
    """
    weight = _TABLE[events["action"]]
    share = events["share"]
    known = np.where(share >= 0.1, 2 * share, 2.5 * (share - 0.1))
    watched = np.where(np.isnan(share), np.float32(0.5), known)
    weight = np.where(events["action"] == Action.WATCH, watched, weight)
    stars = np.nan_to_num(share, nan=0.6) * 5 - 3
    return np.where(events["action"] == Action.RATE, stars, weight).astype(np.float32)
