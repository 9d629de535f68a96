"""Learning a bundle's appeal: which sum of its terms puts first what people took to next.

A conditional logit (McFadden 1974) on the validation queries of an evaluation, which lie before everything
that is asked for: the video that somebody took to against those that trend and a sample of all others, with
the columns that the stream's own folds give as of that moment. The sampled ones stand for all: their weight
in the denominator is how many each of them speaks for.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import logsumexp

from contracts.errors import DatasetError
from contracts.models import Bundle
from contracts.settings import Settings
from model_runtime.appeal import TERMS, Appeal, shaped
from model_runtime.evaluation.appealing import seen
from model_runtime.evaluation.folded import FoldedLog
from model_runtime.evaluation.queries import Queries
from model_runtime.evaluation.ranking import allowed
from model_runtime.evaluation.world import World
from model_runtime.training.shown import Shown

F64 = NDArray[np.float64]
_TRENDING: Final = 200
_SAMPLED: Final = 100
_LEAST: Final = 100  # queries: of fewer no weights are learned
_PULL: Final = 1e-3  # of the squared weights, of terms of variance 1


@dataclass(frozen=True, slots=True, eq=False)
class Choices:
    """q choices among c videos: `terms` (q, c, t), the first of each was taken.

    Attributes:
        speaks_for: (q, c) log of how many videos each stands for; -inf where there is none.
    """

    terms: F64
    speaks_for: F64


def fit_appeal(
    world: World, queries: Queries, bundle: Bundle, settings: Settings, shown: Shown | None
) -> Appeal:
    """The weights that make the likelihood of the queries' targets greatest.

    Args:
        bundle: its towers learned from nothing that the queries ask for; its ranker took no more from that
            time than its last epoch and its calibration.

    Raises:
        DatasetError: there are too few queries.
    """
    if len(queries) < _LEAST:
        raise DatasetError(
            f"{world.log.about.name}: {len(queries)} queries are too few to learn appeal from"
        )
    choices = _choices(world, queries, bundle, settings, shown)
    spread = choices.terms[np.isfinite(choices.speaks_for)].std(axis=0)
    used = np.flatnonzero(spread > 1e-6)
    scaled = choices.terms[:, :, used] / spread[used]
    found = minimize(
        _loss, np.zeros(len(used)), (scaled, choices.speaks_for), jac=True, method="L-BFGS-B"
    )
    weights = found.x / spread[used]
    base = float(logsumexp(scaled @ found.x + choices.speaks_for, axis=1).mean())
    learned = {TERMS[i]: float(w) for i, w in zip(used.tolist(), weights, strict=True)}
    return Appeal(learned, base, settings.stats.trend_half_life_h)


def _choices(
    world: World, queries: Queries, bundle: Bundle, settings: Settings, shown: Shown | None
) -> Choices:
    folded, rng = FoldedLog(world.log, bundle, settings, shown), np.random.default_rng(0)
    place = {int(video): i for i, video in enumerate(folded.state.ids.tolist())}
    size = 1 + _TRENDING + _SAMPLED
    terms = np.zeros((len(queries), size, len(TERMS)))
    speaks_for = np.full((len(queries), size), -np.inf)
    for i in range(len(queries)):
        one = queries.take(slice(i, i + 1))
        user, now_ms, target = int(one.user[0]), int(one.at_ms[0]), int(one.target[0])
        folded.to(int(one.rows[0]), now_ms)
        free = allowed(world, one)[0]
        free[target] = False
        trending = [place[video] for video in folded.state.board.trending(n=_TRENDING)[0].tolist()]
        chart = np.array(trending, np.intp)
        chart = chart[free[chart]]
        free[chart] = False
        others = np.flatnonzero(free)
        drawn = rng.choice(others, min(_SAMPLED, len(others)), replace=False)
        items = np.r_[target, chart, drawn].astype(np.intp)
        columns = seen(folded, bundle, True, user, items, now_ms)
        for k, name in enumerate(TERMS):
            terms[i, : len(items), k] = shaped(name, columns[name])
        speaks_for[i, : 1 + len(chart)] = 0
        speaks_for[i, 1 + len(chart) : len(items)] = np.log(len(others) / max(len(drawn), 1))
    return Choices(terms, speaks_for)


def _loss(weights: F64, terms: F64, speaks_for: F64) -> tuple[float, F64]:
    """Mean cross-entropy with its gradient."""
    logits = terms @ weights + speaks_for
    whole = logsumexp(logits, axis=1)
    shares = np.exp(logits - whole[:, None])
    loss = whole - terms[:, 0] @ weights
    gradient = np.einsum("qc,qct->t", shares, terms) - terms[:, 0].sum(axis=0)
    n = len(terms)
    return (
        float(loss.mean() + _PULL * weights @ weights),
        gradient / n + 2 * _PULL * weights,
    )
