"""Baselines as good as they get: their one or two numbers are chosen on the validation queries."""

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from contracts.units import DAY_MS, HOUR_MS
from model_runtime.evaluation.baselines.charts import ByLot, Charts
from model_runtime.evaluation.baselines.factors import Als
from model_runtime.evaluation.baselines.neighbours import Ease, ItemKnn
from model_runtime.evaluation.fallback import OrCharts
from model_runtime.evaluation.metrics import Found, ndcg
from model_runtime.evaluation.protocols import Task
from model_runtime.evaluation.ranking import Recommender, rank

_ASKED: Final = 2000  # more queries do not make the choice better
# It inverts a matrix of all pairs of videos: at so many that is 1.6 GB and some minutes.
MOST_FOR_EASE: Final = 20_000
_WINDOWS_MS: Final = (7 * DAY_MS, DAY_MS, 6 * HOUR_MS, HOUR_MS)
_CHOICES: Final[dict[str, Sequence[Callable[[], Recommender]]]] = {
    "ItemKNN": [lambda: ItemKnn(20), lambda: ItemKnn(100), lambda: ItemKnn(400)],
    "EASE": [lambda: Ease(50), lambda: Ease(200), lambda: Ease(800)],
    "iALS": [
        lambda: Als(32, alpha=1), lambda: Als(64, alpha=1), lambda: Als(64, alpha=10),
        lambda: Als(128, alpha=3),
    ],
}  # fmt: skip


def charts_of(task: Task) -> list[Charts]:
    """All time and, where there are times, the windows."""
    windows = _WINDOWS_MS if task.protocol == "time" else ()
    return [Charts(), *(Charts(window) for window in windows)]


def best_charts(task: Task) -> Charts:
    """The charts that would have been best before: what a personal recommender falls back on."""
    found = [(_quality(task, charts), -i, charts) for i, charts in enumerate(charts_of(task))]
    return max(found)[2]


def baselines(
    task: Task, behind: Charts, choose: bool, tell: Callable[[str], None] = lambda _: None
) -> list[Recommender]:
    """All of them, the personal ones with charts behind them; EASE up to 20,000 videos.

    Args:
        choose: try the numbers of each on the validation queries; else the middle ones are taken.
    """
    out: list[Recommender] = [ByLot(), *charts_of(task)]
    for name, makers in _CHOICES.items():
        if name == "EASE" and task.world.videos > MOST_FOR_EASE:
            continue
        options: list[Recommender] = [OrCharts(make(), behind) for make in makers]
        tell(f"choosing {name}")
        if choose and len(task.validation[0]):
            out.append(max((_quality(task, some), -i, some) for i, some in enumerate(options))[2])
        else:
            out.append(options[len(options) // 2])
    return out


def _quality(task: Task, recommender: Recommender) -> float:
    """NDCG@10 on the validation queries."""
    queries, learned = task.validation
    if not len(queries):
        return 0.0
    some = np.linspace(0, len(queries) - 1, min(_ASKED, len(queries))).astype(np.intp)
    queries = queries.take(some)
    recommender.prepare(task.world, queries, learned)
    return float(ndcg(Found.one_each(rank(task.world, queries, recommender).rank), 10).mean())
