"""Nothing twice: not on a later page, not within hours of being shown, not what was watched."""

from dataclasses import dataclass

import numpy as np

from contracts.batch import CandidateBatch, Mask
from contracts.funnel import OnError, Query
from contracts.ids import fold32_array
from operators.features.seen import seen


@dataclass(frozen=True, slots=True)
class NotSeen:
    """Drops what the viewer's state remembers as watched, or as shown in the last `shown_for_h`."""

    shown_for_h: float
    name: str = "not_seen"
    on_error: OnError = OnError.KEEP

    def keep(self, query: Query, batch: CandidateBatch) -> Mask:
        """True where the video is new to the viewer."""
        if query.state is None:
            return np.ones(len(batch), np.bool_)
        return ~seen(query.state, batch.ids, query.now_ms, self.shown_for_h)


@dataclass(frozen=True, slots=True)
class NotServed:
    """Drops what earlier pages showed. Of its own, since a repeat on a page is never convenient."""

    name: str = "not_served"
    on_error: OnError = OnError.DROP

    def keep(self, query: Query, batch: CandidateBatch) -> Mask:
        """True where no earlier page showed the video."""
        if not len(query.served):
            return np.ones(len(batch), np.bool_)
        return ~np.isin(fold32_array(batch.ids), query.served)
