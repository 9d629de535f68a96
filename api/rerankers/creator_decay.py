"""The more of a creator stands before a video, the less it is worth."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from api.rerankers.standing import standing
from contracts.batch import CandidateBatch, Rows, rank_desc
from contracts.funnel import Query
from contracts.models import F32
from operators.kernel import kernel


@dataclass(frozen=True, slots=True)
class CreatorDecay:
    """Multiplies the standing of the n-th video of a creator by rate**n."""

    rate: float = 0.7
    name: str = "creator_decay"

    def rerank(self, query: Query, batch: CandidateBatch) -> Rows:
        """Videos without a creator are nobody's, and keep their standing."""
        return rank_desc(decayed(standing(batch), batch["creator"], self.rate))


@kernel
def decayed(worth: F32, creators: NDArray[np.uint32], rate: float) -> F32:
    """(n,) worth x rate**(rows before it of the same creator); 0 is no creator."""
    size = 16
    while size < 2 * len(creators):
        size *= 2
    slots, out = np.full(size, -1, np.int32), worth.copy()
    factors = np.ones(
        len(creators), np.float32
    )  # of the next one, at the first row of each creator
    for i in range(len(creators)):
        if creators[i] == 0:
            continue
        slot = (creators[i] * np.uint64(2654435769) >> np.uint64(16)) & np.uint64(size - 1)
        while slots[slot] >= 0 and creators[slots[slot]] != creators[i]:
            slot = (slot + np.uint64(1)) & np.uint64(size - 1)
        if slots[slot] < 0:
            slots[slot] = i
        first = slots[slot]
        out[i] = worth[i] * factors[first]
        factors[first] *= np.float32(rate)
    return out
