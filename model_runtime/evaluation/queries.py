"""What is asked: each query is one person at one moment, who then took to one video."""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from contracts.errors import DatasetError
from model_runtime.evaluation.world import Ints, World

Held = Literal["test", "validation"]


@dataclass(frozen=True, slots=True, eq=False)
class Queries:
    """q queries, by time.

    Attributes:
        user: (q,) the person.
        at_ms: (q,) the moment, of the log's clock.
        rows: (q,) how many rows of the log everybody had written by then.
        seen: (q,) how many of its own events the person had had; what they are about is not
            recommended again.
        visible: (q,) how many of those a recommender may look at: fewer where its state is late.
        target: (q,) the video that the person took to.
        fresh_from: how many rows of the log were there to be learned from beforehand.
    """

    user: Ints
    at_ms: Ints
    rows: Ints
    seen: Ints
    visible: Ints
    target: Ints
    fresh_from: int

    def __len__(self) -> int:
        return len(self.user)

    def take(self, which: slice | NDArray[np.bool_] | NDArray[np.intp]) -> "Queries":
        """Some of them, in the same order."""
        return Queries(
            self.user[which], self.at_ms[which], self.rows[which], self.seen[which],
            self.visible[which], self.target[which], self.fresh_from,
        )  # fmt: skip

    def seeing(self, visible: Ints) -> "Queries":
        """The same queries to somebody who sees fewer of the person's events."""
        return replace(self, visible=np.minimum(visible, self.seen))


def leave_one_out(world: World, held: Held = "test") -> Queries:
    """Of each person with three positive events the last (test) or the last but one (validation).

    The protocol of the published tables, which has no time: no row of the log is passed by.

    Raises:
        DatasetError: nobody has three.
    """
    people = world.people
    first = first_of_pair(world)
    at = np.flatnonzero(first)
    person = np.searchsorted(people.offsets, at, "right") - 1
    ends = np.cumsum(np.bincount(person, minlength=len(people)))
    some = np.flatnonzero(np.diff(np.r_[0, ends]) >= 3)
    if not len(some):
        raise DatasetError(
            f"{world.log.about.name}: nobody took to three videos: nothing to leave out"
        )
    event = at[ends[some] - (1 if held == "test" else 2)]
    seen = event - people.offsets[some]
    return Queries(
        some.astype(np.int64), people.timestamp_ms[event], np.zeros(len(some), np.int64), seen, seen,
        people.item[event].astype(np.int64), 0,
    )  # fmt: skip


def held_out(world: World) -> NDArray[np.bool_]:
    """(n,) in the order of the sequences: from each person's last but one positive event on."""
    validation = leave_one_out(world, "validation")
    start = np.full(len(world.people), np.iinfo(np.int64).max)
    start[validation.user] = validation.seen
    person = np.repeat(np.arange(len(world.people)), world.people.lengths)
    nth = np.arange(len(person)) - world.people.offsets[person]
    return nth >= start[person]


def prequential(world: World, share: float) -> Queries:
    """Each first time that somebody takes to a video during the last `share` of the log's events.

    What arrived in the very millisecond is not known yet.

    Raises:
        DatasetError: the log's clock only says the order, or nobody took to anything then.
    """
    log, people = world.log, world.people
    if log.about.clock == "order":
        raise DatasetError(f"{log.about.name} has no times: it cannot be split by time")
    arrived = log.rows["broker_ms"]
    split_ms = int(arrived[min(int(len(log) * (1 - share)), len(log) - 1)])
    event = np.flatnonzero(first_of_pair(world) & (world.arrived_ms >= split_ms))
    event = event[np.argsort(people.row[event], kind="stable")]
    user = np.searchsorted(people.offsets, event, "right") - 1
    at_ms = world.arrived_ms[event]
    seen = world.visible(user, at_ms)
    new = _unseen(world, user, seen, people.item[event].astype(np.int64))
    if not new.any():
        raise DatasetError(f"{log.about.name}: nobody took to a new video in its last {share:.0%}")
    rows = np.searchsorted(arrived, at_ms, "left")
    queries = Queries(
        user, at_ms, rows, seen, seen, people.item[event].astype(np.int64),
        int(np.searchsorted(arrived, split_ms, "left")),
    )  # fmt: skip
    return queries.take(new)


def first_of_pair(world: World) -> NDArray[np.bool_]:
    """(n,) the first positive event of each person about each video."""
    people, at = world.people, np.flatnonzero(world.positive)
    person = np.searchsorted(people.offsets, at, "right") - 1
    pair = person * np.int64(world.videos) + people.item[at]
    first = np.zeros(len(world.positive), np.bool_)
    first[at[np.unique(pair, return_index=True)[1]]] = True
    return first


def _unseen(world: World, user: Ints, seen: Ints, target: Ints) -> NDArray[np.bool_]:
    """(q,) the person had no event about the video before, of whatever kind."""
    before = world.histories(user, seen, only_positive=False)
    out: NDArray[np.bool_] = np.asarray(before[np.arange(len(user)), target]).ravel() == 0
    return out
