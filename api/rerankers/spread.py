"""Not too much of one kind in a row: creators, categories, sponsored videos."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from contracts.batch import CandidateBatch, Column, Rows
from contracts.funnel import Query
from operators.kernel import kernel

_LOOK: Final = 60  # how far down the slate a better-spread row is looked for


@dataclass(frozen=True, slots=True)
class Spread:
    """At most `most` rows with the same value of `column` among any `window` neighbours of a page."""

    column: str
    window: int
    most: int
    name: str

    def rerank(self, query: Query, batch: CandidateBatch) -> Rows:
        """The page spread, then all others as they were."""
        return spread(batch[self.column], self.window, self.most, query.limit)


def spread(groups: Column, window: int, most: int, picks: int) -> Rows:
    """Permutation: each of the first `picks` places takes the first row that its window allows.

    Where none of the next 60 rows is allowed, the first one is taken anyway. Group 0 is "unknown"
    and never too much: [5, 5, 5, 7, 0], window 2, most 1 -> [0, 3, 1, 4, 2].
    """
    return _spread(np.ascontiguousarray(groups, np.int64), window, most, picks)


@kernel
def _spread(kinds: NDArray[np.int64], window: int, most: int, picks: int) -> Rows:
    order = np.arange(len(kinds))
    for place in range(min(picks, len(kinds))):
        taken = place
        for ahead in range(place, min(place + _LOOK, picks + _LOOK, len(kinds))):
            kind, near = kinds[order[ahead]], 0
            for before in range(max(place - window + 1, 0), place):
                near += kinds[order[before]] == kind
            if kind == 0 or near < most:
                taken = ahead
                break
        row = order[taken]
        for at in range(taken, place, -1):  # who was passed over stays in order
            order[at] = order[at - 1]
        order[place] = row
    return order
