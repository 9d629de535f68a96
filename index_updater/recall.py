"""Recall against exact search, and the search effort (`ef`) that it takes to keep it.

How much effort 0.98 takes depends on the vectors (with HNSW, 100k x 64-d in 2,000 clusters and k = 500,
850 to 1,650 for a `--spread` of 0.3 to 0.7 of `bench.index`). So it is measured, not set.
"""

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from contracts.settings import IndexSettings
from index_updater.exact import View
from index_updater.graph import F32, Labels
from index_updater.vectors import unit_rows

Found = tuple[Labels, F32]
_STEP: Final = 1.2
_MOST: Final = 6  # times the setting: a few hopeless queries must not make all others dear
# Above the floor: churn between two looks costs up to 0.004, queries of another kind than those that
# were tried up to 0.005, the sample has an error of 0.001, and the lowest of 200 looks at a million
# videos under churn came 0.0125 below what had been tuned.
_MARGIN: Final = 0.015
PROBED: Final = 24  # queries of each kind, to look whether recall holds
TUNED: Final = 64  # and to find the effort: of 24, one in twenty draws is 0.007 below the mean
_TASTES: Final = (1, 3, 8)  # videos that a query lies between, as a viewer's vector does


def shares_found(exact: Sequence[Found], found: Sequence[Found]) -> F32:
    """(m,) share of the exact best that was found for each query, 1.0 if there is nothing to find.

    What was found counts by its cosine, so that a tie does not look like a miss.
    """
    shares = [
        np.count_nonzero(got >= best[-1] - 1e-6) / len(best) if len(best) else 1.0
        for (_, best), (_, got) in zip(exact, found, strict=True)
    ]
    return np.array(shares, np.float32)


def weakest(shares: F32) -> float:
    """The lowest mean: of all, and of each kind of the `TUNED` likely queries, which are the last ones.

    Between many tastes it takes more: tuned by the mean, recall was 0.960 there under churn at a
    million videos, and 0.995 for new ones.
    """
    kinds = shares[-len(_TASTES) * TUNED :].reshape(len(_TASTES), -1)
    return float(min(shares.mean(), kinds.mean(axis=1).min()))


def tuned_k(settings: IndexSettings) -> int:
    """How many results the effort is tuned for: 500 with the default `ef_search` of 600."""
    return settings.ef_search * 5 // 6


def raise_ef(ef: int, settings: IndexSettings, recall_at: Callable[[int], float]) -> int:
    """The least effort from `ef` on, in steps, whose recall is above the floor; 6x the setting at most.

    >>> raise_ef(100, IndexSettings(ef_search=100, recall_floor=0.95), lambda ef: ef / 200)
    212
    """
    most = _MOST * settings.ef_search
    while ef < most and recall_at(ef) < min(settings.recall_floor + _MARGIN, 1.0):
        ef = min(int(ef * _STEP) + 1, most)
    return ef


def likely_queries(view: View, seed: int, each: int) -> F32:
    """(m, d) unit vectors: `each` of videos, of viewers between three, and between eight of them.

    None if none live.
    """
    live = np.flatnonzero(view.alive(np.arange(view.n)))
    if not len(live):
        return np.empty((0, view.tail.shape[1]), np.float32)
    rng, rows = np.random.default_rng(seed), view.generation.rows
    asked = [rows.floats(rng.choice(live, (each, n)).ravel()) for n in _TASTES]
    sums = [x.reshape(each, n, -1).sum(axis=1) for x, n in zip(asked, _TASTES, strict=True)]
    return unit_rows(np.concatenate(sums) + np.float32(1e-6))
