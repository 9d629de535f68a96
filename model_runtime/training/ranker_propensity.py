"""Inverse propensities: what came of a video far down counts for those who never looked so far.

The other way to keep the place from being taken for taste, beside a tower for it. How likely each
position is looked at is read off the log: the same video is shown at many positions, and what is left
of its rate once the video is accounted for is the position's. (Position-based click model; weights as
in Joachims et al. 2017, in the pointwise form of Saito et al. 2020. There the curve comes from an
experiment or an EM; here from the video, as nobody has to be shown anything for that.)
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from contracts.models import F32
from model_runtime.ranker_form import PROBABILITIES
from model_runtime.training.ranker_model import POSITIONS
from model_runtime.training.ranker_rows import Rows

_MOST: Final = 10.0  # of a weight: what nearly nobody looks at must not outweigh everything
_PRIOR: Final = 10.0  # expected positives that a position has before any are seen
_HEADS: Final = len(PROBABILITIES)
_TIMES: Final = 50


def looked_at(
    positive: NDArray[np.bool_], item: NDArray[np.integer], position: NDArray[np.int64]
) -> NDArray[np.float64]:
    """(POSITIONS,) share of viewers who look at each, of the best one's; 1 where nothing tells it.

    Args:
        positive: (n,) whether something came of each row; item: (n,) the video; position: (n,).
    """
    position, (_, video) = _clipped(position), np.unique(item, return_inverse=True)
    of_video = np.bincount(video, positive)
    of_position = np.bincount(position, positive, POSITIONS)
    share = np.ones(POSITIONS)
    for _ in range(_TIMES):
        rate = of_video / np.bincount(video, share[position])
        expected = np.bincount(position, rate[video], POSITIONS)
        share = (of_position + _PRIOR) / (expected + _PRIOR)
        share = np.where(expected > 0, share / share[expected > 0].max(), 1)
    return np.clip(share, 1 / _MOST, 1)


def curves(labels: F32, left: F32, rows: Rows, fewest: int) -> F32:
    """(POSITIONS, outputs) of what the logits stand for; a head with few positives has the click's.

    Of the time watched only its first piece, to have begun at all, depends on the place.

    Args:
        labels: (n, heads) answers; left: (n, pieces), who left in each piece.
    """
    out = np.ones((POSITIONS, labels.shape[1] + left.shape[1]), np.float32)
    came = np.concatenate([labels, 1 - left[:, :1]], axis=1) > 0
    for i in range(came.shape[1]):
        told = came[:, i if i == 0 or came[:, i].sum() >= fewest else 0]
        out[:, i] = looked_at(told, rows.item, rows.place.position)
    return out


def corrected(wanted: F32, position: NDArray[np.int64], of: F32) -> F32:
    """(n, outputs) what each logit should say of a video that everybody looks at; may be above 1."""
    share = of[_clipped(position)]
    out: F32 = wanted / share
    out[:, _HEADS] = 1 - (1 - wanted[:, _HEADS]) / share[:, _HEADS]
    return out


def _clipped(position: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.clip(position, 0, POSITIONS - 1)
