"""Not too much of one kind in a row: creators, categories, sponsored videos."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from contracts.batch import CandidateBatch, Column, Rows
from contracts.funnel import Query

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
    look = min(len(groups), picks + _LOOK)
    kinds = groups[:look].tolist()
    if _is_spread(kinds[: min(picks, look)], window, most):  # the rule, for most columns
        return np.arange(len(groups))
    rest = list(range(look))
    placed: list[int] = []
    for _ in range(min(picks, look)):
        recent = [kinds[row] for row in placed[len(placed) - (window - 1) :]] if window > 1 else []
        recent = recent if len(placed) >= window - 1 else [kinds[row] for row in placed]
        ahead = enumerate(rest[:_LOOK])
        free = (i for i, row in ahead if not kinds[row] or recent.count(kinds[row]) < most)
        placed.append(rest.pop(next(free, 0)))
    return np.concatenate([np.array(placed + rest, np.intp), np.arange(look, len(groups))])


def _is_spread(kinds: list[int], window: int, most: int) -> bool:
    """Whether every place already has the row that `spread` would put there."""
    return all(
        not kind or kinds[max(i - window + 1, 0) : i].count(kind) < most
        for i, kind in enumerate(kinds)
    )
