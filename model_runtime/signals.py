"""What an event says besides its video, as two small numbers: rows of the towers' tables.

The step form and training read the same; a change is another kind of bundle.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from contracts.events import Action

SHARES: Final = 13  # 0: not told; 1 to 12: tenths of the video (of the stars), 110 % and more last
SIGNALS: Final = len(Action) * SHARES
GAPS: Final = 32  # 0: the first; else by factors of two, up to 2^30 s


def signals(actions: NDArray[np.uint8], shares: NDArray[np.float32]) -> NDArray[np.int64]:
    """(n,) rows from (n,) actions and watched shares; an action that we do not know counts as none.

    >>> signals(np.array([2, 2, 3], np.uint8), np.array([0.0, 2.0, np.nan], np.float32)).tolist()
    [27, 38, 39]
    """
    told = np.isfinite(shares)
    tenths = np.clip(np.where(told, shares, 0), 0, 1.1) * 10
    bucket = np.where(told, np.floor(tenths + 0.5) + 1, 0).astype(np.int64)
    known = np.where(actions < len(Action), actions, 0).astype(np.int64)
    rows: NDArray[np.int64] = known * SHARES + bucket
    return rows


def gap_buckets(gaps_s: NDArray[Any]) -> NDArray[np.int64]:
    """(n,) buckets of (n,) seconds: [0, 1, 60, 86400] -> [0, 2, 7, 18]; no time is 0."""
    seconds = np.maximum(np.nan_to_num(gaps_s.astype(np.float64), posinf=0.0), 0.0)
    doublings = np.frexp(seconds)[1] + (seconds > 0)
    rows: NDArray[np.int64] = np.clip(doublings, 0, GAPS - 1).astype(np.int64)
    return rows
