"""What the viewer said no to: creators blocked, videos that they are not interested in."""

from dataclasses import dataclass

import numpy as np

from contracts.batch import CandidateBatch, Mask
from contracts.funnel import OnError, Query
from contracts.ids import fold32_array


@dataclass(frozen=True, slots=True)
class NotBlocked:
    """Drops videos of blocked creators. A block is for safety: on failure nothing passes."""

    name: str = "not_blocked"
    on_error: OnError = OnError.DROP

    def keep(self, query: Query, batch: CandidateBatch) -> Mask:
        """True where the creator is not blocked; a video without creator passes."""
        if query.state is None:
            return np.ones(len(batch), np.bool_)
        blocks = query.state["blocks"]
        return ~np.isin(batch["creator"], blocks[blocks != 0])


@dataclass(frozen=True, slots=True)
class NotRefused:
    """Drops videos that the viewer marked as not interesting."""

    name: str = "not_refused"
    on_error: OnError = OnError.KEEP

    def keep(self, query: Query, batch: CandidateBatch) -> Mask:
        """True where the viewer did not refuse the video."""
        if query.state is None:
            return np.ones(len(batch), np.bool_)
        refused = query.state["refused"]
        return ~np.isin(fold32_array(batch.ids), refused[refused != 0])
