"""One evaluation from a log to its results."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from contracts.models import Bundle
from model_runtime.evaluation.choosing import baselines, best_charts
from model_runtime.evaluation.cold import by_events, of_new_videos
from model_runtime.evaluation.fallback import OrCharts
from model_runtime.evaluation.heads import heads
from model_runtime.evaluation.metrics import Found, ndcg
from model_runtime.evaluation.protocols import TOLD, Protocol, Task, task_of
from model_runtime.evaluation.ranking import Ranked, Recommender, rank
from model_runtime.evaluation.results import Head, Line, Results, Staleness, line
from model_runtime.evaluation.staleness import DELAYS_S, staleness
from model_runtime.evaluation.towers import Towers, embedded
from model_runtime.evaluation.world import Positives
from model_runtime.training.examples import read_examples
from model_runtime.training.layout import IMPRESSIONS
from model_runtime.training.log import Log, read_log
from model_runtime.training.parts import find_parts

Told = Callable[[str, int, int], None]  # what goes on, how far, of how many
SHARE: Final = 0.1


@dataclass(frozen=True, slots=True)
class Options:
    """How to evaluate.

    Attributes:
        protocol: None takes "time" where the log has times, else "last".
        positives: None takes likes for "time" and every event for "last", as the published tables.
        share: of the log's events, how many are asked for (protocol "time").
        choose: the baselines' numbers on the validation queries.
        late: measure the staleness curve.
        ranker: measure the ranker's heads; replays the log event by event.
    """

    protocol: Protocol | None = None
    positives: Positives | None = None
    share: float = SHARE
    choose: bool = True
    late: bool = True
    ranker: bool = True


def evaluate(
    folder: Path,
    bundles: Sequence[Bundle],
    options: Options,
    tell: Told = lambda what, done, total: None,
    more: Sequence[Recommender] = (),
    timed: Sequence[Recommender] = (),
) -> Results:
    """Every baseline and every bundle on the same queries.

    Args:
        more: recommenders of the engine that know nothing of some people: the charts stand behind them.
        timed: those that need times: asked with protocol "time" alone.
        bundles: the first one's text space measures how varied lists are.

    Raises:
        DatasetError: the log cannot be used, or not with this protocol.
    """
    tell("reading the log", 0, 1)
    log = read_log(folder)
    protocol = options.protocol or ("last" if log.about.clock == "order" else "time")
    positives = options.positives or ("any" if protocol == "last" else "liked")
    task = task_of(log, protocol, positives, options.share)
    tell("choosing charts", 0, 1)
    behind = best_charts(task)
    asked: list[Recommender] = baselines(
        task, behind, options.choose, lambda what: tell(what, 0, 1)
    )
    by_time = protocol == "time"
    own: list[Recommender] = [OrCharts(one, behind) for one in (*map(Towers, bundles), *more)]
    own += timed if by_time else ()
    answers = {one.name: _answer(task, one, tell) for one in [*asked, *own]}
    return Results(
        _about(task, positives, behind.name),
        _lines(task, answers, [one.name for one in own], bundles[0]),
        _heads(folder, log, task, bundles, tell) if options.ranker and by_time else {},
        _late(task, [*own[: len(bundles)], _best(asked, answers)], tell)
        if options.late and by_time
        else [],
        {name: by_events(task, ranked) for name, ranked in answers.items()},
        of_new_videos(task, answers),
    )


@dataclass(slots=True)
class _Count:
    """Tells how far something is, each time that more of it is done."""

    what: str
    total: int
    tell: Told
    done: int = 0

    def __call__(self, more: int = 0) -> None:
        self.done += more
        self.tell(self.what, self.done, self.total)


def _answer(task: Task, recommender: Recommender, tell: Told) -> Ranked:
    count = _Count(recommender.name, len(task.queries), tell)
    count()
    recommender.prepare(task.world, task.queries, task.learned)
    return rank(task.world, task.queries, recommender, count)


def _lines(task: Task, answers: dict[str, Ranked], own: Sequence[str], text: Bundle) -> list[Line]:
    """One of each; `own` begins with the towers of the first bundle."""
    quality = {name: _ndcg(ranked) for name, ranked in answers.items() if name not in own}
    best = max(quality, key=lambda name: quality[name])
    log = task.world.log
    vectors = embedded(text, log.videos, log.published)
    return [
        line(
            task, name, ranked, vectors, name in own,
            first=None if name == best else answers[best],
            towers=answers[own[0]] if name in own[1:] else None,
        )
        for name, ranked in answers.items()
    ]  # fmt: skip


def _best(asked: Sequence[Recommender], answers: dict[str, Ranked]) -> Recommender:
    """The personal baseline that finds most: a second curve says what the log itself can show."""
    personal = [one for one in asked if isinstance(one, OrCharts)]
    return max(personal, key=lambda one: _ndcg(answers[one.name]))


def _ndcg(ranked: Ranked) -> float:
    return float(ndcg(Found.one_each(ranked.rank), 10).mean())


def _late(task: Task, recommenders: Sequence[Recommender], tell: Told) -> list[Staleness]:
    total = len(task.queries) * (len(DELAYS_S) + 1)
    return [
        staleness(task, one, _Count(f"late states: {one.name}", total, tell))
        for one in recommenders
    ]


def _heads(
    folder: Path, log: Log, task: Task, bundles: Sequence[Bundle], tell: Told
) -> dict[str, list[Head]]:
    if not find_parts(folder, IMPRESSIONS):
        return {}
    start_ms = int(log.rows["broker_ms"][task.queries.fresh_from])
    out = {}
    for bundle in bundles:
        tell(f"replaying the log for the ranker of {bundle.id}", 0, 1)
        examples = read_examples(folder, log, bundle)
        out[bundle.id] = heads(bundle.ranker, examples, examples.shown.at_ms >= start_ms)
    return out


def _about(task: Task, positives: Positives, charts: str) -> dict[str, str]:
    about, world, queries = task.world.log.about, task.world, task.queries
    taken = {"liked": "a click, a like, half a video watched, four stars or more",
             "any": "any event about a video"}  # fmt: skip
    return {
        "log": about.name,
        "licence": about.licence or "not told",
        "protocol": TOLD[task.protocol],
        "asked": f"{len(queries):,} queries of {len(np.unique(queries.user)):,} people, among "
        f"{int(world.candidates.sum()):,} videos",
        "taking to a video is": taken[positives],
        "where nothing is known": f"every personal recommender falls back on: {charts}",
    }
