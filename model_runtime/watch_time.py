"""Time watched as a discrete hazard: how likely a viewer leaves in each piece of it, having come so far.

A video that ended says only that its viewer would have watched at least so long: it is censored on
the right, and takes part in the pieces that were survived. (Discrete-time survival as in Gensheimer &
Narasimhan 2019; here the hazards are heads of the ranker.)
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from contracts.models import F32

ENDED_SHARE: Final = 0.98  # players stop counting a little before the end


def pieces(edges_s: F32, watched_s: F32, ended: NDArray[np.bool_]) -> tuple[F32, F32]:
    """(n, k) whether the viewer left in each piece, and whether that is known at all (1 or 0).

    >>> left, known = pieces(np.float32([0, 2, 5, 9]), np.float32([3, 3]), np.array([False, True]))
    >>> left.tolist(), known.tolist()
    ([[0.0, 1.0, 0.0], [0.0, 0.0, 0.0]], [[1.0, 1.0, 0.0], [1.0, 0.0, 0.0]])

    Args:
        edges_s: (k + 1,) ascending from 0.
        watched_s: (n,) seconds, NaN unknown.
        ended: (n,) the video was over then.
    """
    low, high = edges_s[:-1], edges_s[1:]
    at = watched_s[:, None]
    survived = at >= high
    left = (at >= low) & ~survived & ~ended[:, None]
    return left.astype(np.float32), (survived | left).astype(np.float32)


def expected_s(edges_s: F32, hazards: NDArray[Any], duration_s: F32) -> F32:
    """(n,) seconds that will be watched of a video so long; no more than the last edge.

    Between edges people leave evenly.

    Args:
        hazards: (n, k); duration_s: (n,), not positive where unknown.
    """
    stay = np.cumprod(1 - hazards, axis=1)
    before = np.concatenate([np.ones_like(stay[:, :1]), stay[:, :-1]], axis=1)
    width = np.diff(edges_s)
    whole = np.where(duration_s > 0, duration_s, np.float32(np.inf))
    part = np.clip((whole[:, None] - edges_s[:-1]) / width, 0, 1)
    seconds: F32 = (width * part * (before - (before - stay) * part / 2)).sum(axis=1)
    return seconds.astype(np.float32)


def wanted(edges_s: F32, hazards: NDArray[Any]) -> NDArray[Any]:
    """(n,) mean of log(1 + seconds) that would be watched of a video without an end.

    Orders rows by how long people stay, however long the videos are.
    """
    stay = np.cumprod(1 - hazards, axis=1)
    before = np.concatenate([np.ones_like(stay[:, :1]), stay[:, :-1]], axis=1)
    middles = np.log1p((edges_s[1:] + edges_s[:-1]) / 2)
    out: NDArray[Any] = (before - stay) @ middles + stay[:, -1] * np.log1p(edges_s[-1])
    return out
