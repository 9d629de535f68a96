"""The two ways of asking: the last of each person, or everything that follows a moment."""

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from model_runtime.evaluation.queries import Queries, held_out, leave_one_out, prequential
from model_runtime.evaluation.world import Positives, World, world_of
from model_runtime.training.log import Log

Protocol = Literal["last", "time"]
TOLD: Final[dict[Protocol, str]] = {
    "last": "leave-one-out: the last video of each person, among all videos, those seen left out",
    "time": "prequential: every video somebody takes to after a moment, then learned from",
}


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """Queries, and what may be learned from beforehand.

    Attributes:
        learned: (n,) in the order of the sequences.
        validation: queries before them, and what may be learned from for those: to choose by.
    """

    protocol: Protocol
    world: World
    queries: Queries
    learned: NDArray[np.bool_]
    validation: tuple[Queries, NDArray[np.bool_]]


def task_of(log: Log, protocol: Protocol, positives: Positives, share: float) -> Task:
    """A log as a task.

    Args:
        share: of the log's events, the last so many are asked for (protocol "time").

    Raises:
        DatasetError: the log cannot be asked that way.
    """
    world = world_of(log, positives)
    if protocol == "last":
        learned = ~held_out(world)
        validation = leave_one_out(world, "validation"), learned
        return Task(protocol, world, leave_one_out(world), learned, validation)
    queries = prequential(world, share)
    earlier = prequential(world, min(2 * share, 0.9))
    before = earlier.take(earlier.rows < queries.fresh_from)
    rows = world.people.row
    return Task(
        protocol, world, queries, rows < queries.fresh_from, (before, rows < before.fresh_from)
    )
