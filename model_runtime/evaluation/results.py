"""What an evaluation found, as plain values: written as JSON, drawn as a report."""

from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from model_runtime.evaluation.bootstrap import Estimate, estimate
from model_runtime.evaluation.lists import coverage, novelty, variety
from model_runtime.evaluation.metrics import RANKED, Found
from model_runtime.evaluation.protocols import Task
from model_runtime.evaluation.ranking import Ranked

PLACES: Final = (10, 20, 500)
LEAST: Final = 20  # queries of a point of a curve; of fewer none is told


class Line(msgspec.Struct, frozen=True):
    """One recommender.

    Attributes:
        metrics: "ndcg@10" and the like -> mean and interval.
        coverage: share of the candidates on any list of ten.
        novelty: bits of surprise of what is listed.
        variety: 1 - mean cosine of two videos of a list, by what is written about them.
        behind: NDCG@10 less that of the best baseline, on the same queries; None of that one.
        bundle: it is of the engine, not a baseline: a bundle's towers, or the whole funnel.
        over_towers: of the engine's, NDCG@10 less that of the first bundle's towers alone, likewise.
    """

    name: str
    metrics: dict[str, Estimate]
    coverage: float
    novelty: float
    variety: float
    behind: Estimate | None
    bundle: bool
    over_towers: Estimate | None = None


class Point(msgspec.Struct, frozen=True):
    """One value of a curve: NDCG@10, HR@10 and recall@500 of some queries."""

    label: str
    queries: int
    ndcg: Estimate
    hr: Estimate
    recall: Estimate
    note: str = ""


class Head(msgspec.Struct, frozen=True):
    """One head of a ranker, against what came of the shown videos; no AUC where nothing did."""

    name: str
    auc: float | None
    calibration: float
    positives: int
    rows: int


class Staleness(msgspec.Struct, frozen=True):
    """Quality where the person's state is late.

    Attributes:
        gaps_s: quantile in percent -> seconds between a query and the person's event before it.
        first: share of the queries of people without any event before.
        points: by delay, all queries; `note` where the log's clock cannot show it.
        met: the same, of people who had a state at every delay: without them a late state is often
            none, and what a point shows is how the charts fare. Empty where they are few.
        changed: of each point the share of queries that see another state than without delay.
        lost: of each point of `met` the NDCG@10 less that without delay, same queries.
    """

    name: str
    gaps_s: dict[str, float]
    first: float
    points: list[Point]
    met: list[Point]
    changed: list[float]
    lost: list[Estimate]


class Results(msgspec.Struct, frozen=True):
    """All of one evaluation. `about`: what is told beside every figure."""

    about: dict[str, str]
    lines: list[Line]
    heads: dict[str, list[Head]]
    staleness: list[Staleness]
    cold_people: dict[str, list[Point]]
    cold_videos: list[Point]


def line(
    task: Task,
    name: str,
    ranked: Ranked,
    vectors: NDArray[np.float32],
    bundle: bool,
    first: Ranked | None,
    towers: Ranked | None,
) -> Line:
    """The figures of one recommender.

    Args:
        vectors: (m, d) of what is written about the videos, the same for all.
        first, towers: what `behind` and `over_towers` are told against.
    """
    found, person = Found.one_each(ranked.rank), task.queries.user
    metrics = {
        f"{metric}@{k}": estimate(of(found, k), person)
        for metric, of in RANKED.items()
        for k in PLACES
    }
    taken = task.world.people.item[task.learned & task.world.positive]
    counts = np.bincount(taken, minlength=task.world.videos)
    return Line(
        name,
        metrics,
        coverage(ranked.top, int(task.world.candidates.sum())),
        float(novelty(ranked.top, counts).mean()),
        float(variety(ranked.top, vectors).mean()),
        None if first is None else difference(ranked, first, person),
        bundle,
        None if towers is None else difference(ranked, towers, person),
    )


def difference(
    one: Ranked, other: Ranked, person: NDArray[np.int64], which: NDArray[np.bool_] | None = None
) -> Estimate:
    """NDCG@10 of one less that of the other, query by query; of all queries or of some."""
    a, b = (RANKED["ndcg"](Found.one_each(ranked.rank), 10) for ranked in (one, other))
    some = slice(None) if which is None else which
    return estimate((a - b)[some], person[some])


def point(
    label: str, ranked: Ranked, which: NDArray[np.bool_], person: NDArray[np.int64], note: str = ""
) -> Point:
    """Quality on some of the queries."""
    found = Found.one_each(ranked.rank[which])
    ndcg, hr, recall = (
        estimate(RANKED[name](found, k), person[which])
        for name, k in (("ndcg", 10), ("hr", 10), ("recall", 500))
    )
    return Point(label, int(which.sum()), ndcg, hr, recall, note)
