"""Asking a recommender: the place of what each person took to among all that could be recommended."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from model_runtime.evaluation.queries import Queries
from model_runtime.evaluation.world import Ints, World

LIST: Final = 10
_SCORES: Final = 4_000_000  # held at once: a dozen arrays of them stay below a gigabyte


class Recommender(Protocol):
    """Anything that can score all videos for a person at a moment."""

    @property
    def name(self) -> str: ...

    def prepare(self, world: World, queries: Queries, learned: NDArray[np.bool_]) -> None:
        """Learn from the events `learned` (n,) of the sequences; get ready for these queries."""

    def scores(self, queries: Queries) -> NDArray[np.float32]:
        """(q, m), higher is better.

        Queries come in the order of time, a part of those prepared for. Only the first
        `queries.visible` events of each person and the first `queries.rows` rows of the log may be
        looked at; nothing else says that a later event is not looked at.
        """


@dataclass(frozen=True, slots=True, eq=False)
class Ranked:
    """q answers: `rank` (q,) of each target from 0; `top` (q, 10) videos."""

    rank: Ints
    top: Ints


def rank(
    world: World,
    queries: Queries,
    recommender: Recommender,
    tell: Callable[[int], None] = lambda _: None,
) -> Ranked:
    """Rank all videos that were out and that the person had not met.

    A tie is broken by an order of videos that is drawn once, by no recommender's choice.

    Args:
        recommender: prepared.
        tell: called with the number of queries answered since the last call.
    """
    by_lot = np.random.default_rng(0).permutation(world.videos)
    back = np.argsort(by_lot)
    ranks, tops = [], []
    at_once = max(_SCORES // max(world.videos, 1), 1)
    for start in range(0, len(queries), at_once):
        some = queries.take(slice(start, start + at_once))
        score = np.array(recommender.scores(some), np.float32)
        np.nan_to_num(score, copy=False, nan=-np.inf, neginf=-np.inf)
        score[~allowed(world, some)] = -np.inf
        score, target = score[:, by_lot], back[some.target]
        ranks.append(_places(score, target))
        tops.append(by_lot[_top(score, LIST)])
        tell(len(some))
    return Ranked(np.concatenate(ranks), np.concatenate(tops))


def allowed(world: World, queries: Queries) -> NDArray[np.bool_]:
    """(q, m) what may be recommended: candidates that are out and not met; the target always."""
    out = np.broadcast_to(world.candidates, (len(queries), world.videos)).copy()
    if world.log.about.clock == "ms":
        out &= world.published_ms <= queries.at_ms[:, None]
    met = world.histories(queries.user, queries.seen, only_positive=False)
    out[met.nonzero()] = False
    out[np.arange(len(queries)), queries.target] = True
    return out


def _places(score: NDArray[np.float32], target: Ints) -> Ints:
    own = score[np.arange(len(target)), target][:, None]
    earlier = np.arange(score.shape[1]) < target[:, None]
    # A target without a score stands behind all that have one, and among its like by lot.
    places: Ints = ((score > own) | ((score == own) & earlier)).sum(axis=1)
    return places


def _top(score: NDArray[np.float32], k: int) -> Ints:
    k = min(k, score.shape[1])
    part = np.argpartition(-score, k - 1, axis=1)[:, :k] if k < score.shape[1] else None
    if part is None:
        return np.argsort(-score, axis=1, kind="stable")
    order = np.argsort(-np.take_along_axis(score, part, 1), axis=1, kind="stable")
    return np.take_along_axis(part, order, 1)
