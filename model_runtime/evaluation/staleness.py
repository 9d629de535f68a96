"""The staleness curve: the same model and the same events, with the person's state late.

Only the state is late. What the person has met is left out up to the moment itself, and the videos
are those of the moment, so that nothing but the state tells the points apart.
"""

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from contracts.errors import DatasetError
from model_runtime.evaluation.protocols import Task
from model_runtime.evaluation.queries import Queries
from model_runtime.evaluation.ranking import Ranked, Recommender, rank
from model_runtime.evaluation.results import LEAST, Point, Staleness, difference, point

DELAYS_S: Final = (0, 10, 60, 600, 3600, 86_400)
FROZEN: Final = "frozen"
# A delay that changes fewer states than this cannot be told from none: the log's clock is too coarse.
LEAST_CHANGED: Final = 0.01
_QUANTILES: Final = (1, 5, 10, 25, 50, 75, 90)


def staleness(
    task: Task, recommender: Recommender, tell: Callable[[int], None] = lambda _: None
) -> Staleness:
    """Quality by delay, each delay on all queries.

    Args:
        recommender: of the person it looks at nothing but the visible events.

    Raises:
        DatasetError: the log has no times.
    """
    if task.world.log.about.clock == "order":
        raise DatasetError(f"{task.world.log.about.name} has no times: nothing can be late in it")
    labels = [_told(delay) for delay in DELAYS_S] + [FROZEN]
    late = [late_by(task, delay) for delay in DELAYS_S] + [frozen(task)]
    answers, changed = list[Ranked](), list[float]()
    for queries in late:
        recommender.prepare(task.world, queries, task.learned)
        answers.append(rank(task.world, queries, recommender, tell))
        changed.append(float((queries.visible != task.queries.visible).mean()))
    user, gaps = task.queries.user, gaps_s(task)
    met = np.min([queries.visible for queries in late], axis=0) > 0

    def points(which: NDArray[np.bool_]) -> list[Point]:
        told = zip(labels, answers, changed, strict=True)
        return [point(label, got, which, user, _note(label, share)) for label, got, share in told]

    everybody = points(np.ones(len(user), np.bool_))
    if met.sum() < LEAST:
        return Staleness(recommender.name, *gaps, everybody, [], changed, [])
    lost = [difference(got, answers[0], user, met) for got in answers]
    return Staleness(recommender.name, *gaps, everybody, points(met), changed, lost)


def late_by(task: Task, delay_s: float) -> Queries:
    """The queries to somebody who hears of an event so much later."""
    queries = task.queries
    return queries.seeing(task.world.visible(queries.user, queries.at_ms - int(delay_s * 1000)))


def frozen(task: Task) -> Queries:
    """The queries to somebody who heard nothing since the first of them could be asked."""
    queries, arrived = task.queries, task.world.log.rows["broker_ms"]
    start_ms = int(arrived[min(queries.fresh_from, len(arrived) - 1)])
    return queries.seeing(task.world.visible(queries.user, np.full(len(queries), start_ms)))


def gaps_s(task: Task) -> tuple[dict[str, float], float]:
    """Quantiles of the time between a query and the person's event before; share without any."""
    queries, world = task.queries, task.world
    some = queries.seen > 0
    last = world.people.offsets[queries.user[some]] + queries.seen[some] - 1
    gap = (queries.at_ms[some] - world.arrived_ms[last]) / 1000
    told = {f"{q}": float(np.percentile(gap, q)) for q in _QUANTILES} if len(gap) else {}
    return told, float((~some).mean())


def _note(label: str, changed: float) -> str:
    if label == _told(0) or changed >= LEAST_CHANGED:
        return ""
    return f"changes {changed:.1%} of the states: this log cannot show it"


def _told(delay_s: int) -> str:
    for unit, name in ((86_400, "day"), (3600, "h"), (60, "min")):
        if delay_s and delay_s % unit == 0:
            return f"{delay_s // unit} {name}"
    return f"{delay_s} s"
