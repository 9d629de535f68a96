"""The cold-start curves: people whom no model has met, videos that nobody has watched."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from model_runtime.evaluation.protocols import Task
from model_runtime.evaluation.ranking import Ranked
from model_runtime.evaluation.results import LEAST, Point, point

# Events that the person had before: 0, 1, 2, then up to 5, 10, 20 and more.
_UP_TO: Final = (0, 1, 2, 5, 10, 20)


def new_people(task: Task) -> NDArray[np.bool_]:
    """(q,) of people without any event that was learned from."""
    people = task.world.people
    person = np.repeat(np.arange(len(people)), people.lengths)
    met = np.zeros(len(people), np.bool_)
    met[person[task.learned]] = True
    return ~met[task.queries.user]


def new_videos(task: Task) -> NDArray[np.bool_]:
    """(q,) about a video without any event that was learned from."""
    item = task.world.people.item
    met = np.zeros(task.world.videos, np.bool_)
    met[item[task.learned & (item >= 0)]] = True
    return ~met[task.queries.target]


def by_events(task: Task, ranked: Ranked) -> list[Point]:
    """Quality for new people, by how many events they had had."""
    new, seen, out = new_people(task), task.queries.seen, []
    low = 0
    for high in (*_UP_TO, np.inf):
        which = new & (seen >= low) & (seen <= high)
        label = str(low) if low == high else f"{low}+" if high == np.inf else f"{low}-{int(high)}"
        if which.sum() >= LEAST:
            out.append(point(label, ranked, which, task.queries.user))
        low = int(high) + 1 if high != np.inf else low
    return out


def of_new_videos(task: Task, answers: dict[str, Ranked]) -> list[Point]:
    """Quality on queries about videos that nobody had watched, a recommender each."""
    which = new_videos(task)
    if which.sum() < LEAST:
        return []
    return [point(name, ranked, which, task.queries.user) for name, ranked in answers.items()]
