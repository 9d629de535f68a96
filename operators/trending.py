"""Trending lists from the board: of the world, of each country, of each category."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from contracts.batch import Ids, Mask, Rows
from operators.board_rows import BoardRows
from operators.decay import F64, fade

LISTED: Final = 500
_CONSIDERED: Final = (
    16_384  # of a million videos that somebody watched this hour, so many can trend
)
_FAINT: Final = 0.05  # people: one person's click is that after 4.3 half-lives

CategoryOf = Callable[[Ids], NDArray[np.uint32]]
IsThere = Callable[[Ids], Mask]


@dataclass(frozen=True, slots=True, eq=False)
class Ranking:
    """At most `LISTED` videos, most watched first, ties by id."""

    ids: Ids
    weights: NDArray[np.float32]
    categories: NDArray[np.uint32]

    def only(self, category: int) -> "Ranking":
        """Those of one category."""
        rows = self.categories == category
        return Ranking(self.ids[rows], self.weights[rows], self.categories[rows])


NOTHING: Final = Ranking(np.empty(0, np.int64), np.empty(0, np.float32), np.empty(0, np.uint32))


@dataclass(frozen=True, slots=True)
class Trends:
    """All lists of one moment."""

    world: Ranking = NOTHING
    countries: dict[int, Ranking] = field(default_factory=dict)
    categories: dict[int, Ranking] = field(default_factory=dict)

    def of(self, country: int, category: int) -> Ranking:
        """The list of a country, of a category, of both, or of the world."""
        if country:
            near = self.countries.get(country, NOTHING)
            return near.only(category) if category else near
        return self.categories.get(category, NOTHING) if category else self.world


def trends(
    board: BoardRows, now_ms: int, category_of: CategoryOf, is_there: IsThere | None = None
) -> Trends:
    """Rank what is watched now. Whole-array steps only: none holds the interpreter for long."""
    n, parts = board.n, board.parts
    aged = fade(now_ms - board.videos["at_ms"][:n], board.trend_half_life_ms)
    weight = board.videos["trend"][:n] * aged
    rows = np.flatnonzero(weight > _FAINT)
    if is_there is not None:
        rows = rows[is_there(board.videos["video"][rows])]
    if len(rows) > _CONSIDERED:
        rows = rows[np.argpartition(weight[rows], -_CONSIDERED)[-_CONSIDERED:]]
    if not len(rows):
        return Trends()
    ids = board.videos["video"][rows]
    found = Ranking(ids, weight[rows].astype(np.float32), category_of(ids))
    zeros = np.zeros(len(rows), np.uint32)
    everywhere = _lists(found, np.arange(len(rows)), zeros, found.weights)
    by_category = _lists(found, np.arange(len(rows)), found.categories, found.weights)
    by_category.pop(0, None)
    place = np.full(n + 1, -1, np.intp)  # the last one is for partials that were forgotten
    place[rows] = np.arange(len(rows))
    which, country, near = _by_country(board, parts, place, now_ms)
    return Trends(everywhere[0], _lists(found, which, country, near), by_category)


def _by_country(
    board: BoardRows, parts: int, place: Rows, now_ms: int
) -> tuple[Rows, NDArray[np.uint32], NDArray[np.float32]]:
    """Of each considered video and country: index, country, weight summed over the sources."""
    whose = place[np.minimum(board.partials["row"][:parts], len(place) - 1)]
    some = np.flatnonzero(whose >= 0)
    aged: F64 = fade(now_ms - board.partials["at_ms"][some], board.trend_half_life_ms)
    near = board.partials["near"][some] * aged[:, None]
    part, slot = np.nonzero(near > _FAINT)
    country = board.partials["country"][some[part], slot].astype(np.int64)
    pairs, same = np.unique(country << 32 | whose[some[part]], return_inverse=True)
    summed = np.bincount(same, near[part, slot], len(pairs)).astype(np.float32)
    return pairs & 0xFFFF_FFFF, (pairs >> 32).astype(np.uint32), summed


def _lists(
    found: Ranking, which: Rows, group: NDArray[np.uint32], weights: NDArray[np.float32]
) -> dict[int, Ranking]:
    """The heaviest of each group."""
    order = np.lexsort((found.ids[which], -weights, group))
    groups, start, count = np.unique(group[order], return_index=True, return_counts=True)
    out: dict[int, Ranking] = {}
    for name, first, size in zip(groups.tolist(), start.tolist(), count.tolist(), strict=True):
        top = order[first : first + min(size, LISTED)]
        at = which[top]
        out[name] = Ranking(found.ids[at], weights[top], found.categories[at])
    return out
