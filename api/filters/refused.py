"""What the viewer said no to: creators blocked, videos that they are not interested in."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contracts.batch import CandidateBatch, Mask
from contracts.funnel import OnError, Query
from contracts.ids import fold32_array


@dataclass(frozen=True, slots=True)
class NotBlocked:
    """Drops videos of blocked creators. A block is for safety: if this fails nothing passes.

    While the store does not answer nobody's blocks are known, and everything passes.
    """

    name: str = "not_blocked"
    on_error: OnError = OnError.DROP

    def keep(self, query: Query, batch: CandidateBatch) -> Mask:
        """True where the creator is not blocked; a video without creator passes."""
        if query.state is None:
            return np.ones(len(batch), np.bool_)
        return ~_among(batch["creator"], query.state["blocks"])


@dataclass(frozen=True, slots=True)
class NotRefused:
    """Drops videos that the viewer marked as not interesting."""

    name: str = "not_refused"
    on_error: OnError = OnError.KEEP

    def keep(self, query: Query, batch: CandidateBatch) -> Mask:
        """True where the viewer did not refuse the video."""
        if query.state is None:
            return np.ones(len(batch), np.bool_)
        return ~_among(fold32_array(batch.ids), query.state["refused"])


def _among(hashes: NDArray[np.uint32], listed: NDArray[np.uint32]) -> Mask:
    """(n,) whether each is in a list with free places (0); most lists are empty."""
    listed = listed[listed != 0]
    return np.isin(hashes, listed) if len(listed) else np.zeros(len(hashes), np.bool_)
