"""Metrics of ranked lists and of scores, as pure functions.

A query has one relevant video or several; what is known of each is its rank among all candidates
(from 0), so that a metric at 500 costs what one at 10 does.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """Where r relevant videos of q queries were found.

    Attributes:
        query: (r,) 0 to q - 1; rank: (r,) from 0. A query's ranks are distinct.
        queries: q; one without a relevant video counts as nothing found.
    """

    query: NDArray[np.integer[Any]]
    rank: NDArray[np.integer[Any]]
    queries: int

    @classmethod
    def one_each(cls, rank: NDArray[np.integer[Any]]) -> "Found":
        """One relevant video a query."""
        return cls(np.arange(len(rank)), rank, len(rank))

    @property
    def relevant(self) -> NDArray[np.int64]:
        """(q,) relevant videos of each query."""
        return np.bincount(self.query, minlength=self.queries)

    def within(self, k: int) -> NDArray[np.int64]:
        """(q,) how many of them are among the first k."""
        return np.bincount(self.query[self.rank < k], minlength=self.queries)


def hit_rate(found: Found, k: int) -> F64:
    """(q,) 1 where any relevant video is among the first k."""
    return (found.within(k) > 0).astype(np.float64)


def precision(found: Found, k: int) -> F64:
    """(q,) share of the first k that is relevant."""
    return found.within(k) / k


def recall(found: Found, k: int) -> F64:
    """(q,) share of the relevant videos that is among the first k."""
    return found.within(k) / np.maximum(found.relevant, 1)


def ndcg(found: Found, k: int) -> F64:
    """(q,) discounted gain of the first k, of the best that k places can have.

    Järvelin and Kekäläinen 2002, with gains of 0 and 1: a relevant video at rank r adds
    1 / log2(r + 2).
    """
    top = found.rank < k
    gain = 1 / np.log2(found.rank[top] + 2.0)
    dcg = np.bincount(found.query[top], gain, minlength=found.queries)
    ideal = np.r_[0.0, np.cumsum(1 / np.log2(np.arange(k) + 2.0))]
    best = ideal[np.minimum(found.relevant, k)]
    out: F64 = np.divide(dcg, best, out=np.zeros(found.queries), where=best > 0)
    return out


def reciprocal_rank(found: Found, k: int) -> F64:
    """(q,) 1 / place of the first relevant video, 0 beyond the first k."""
    first = np.full(found.queries, np.iinfo(np.int64).max, np.int64)
    np.minimum.at(first, found.query, found.rank.astype(np.int64))
    return np.where(first < k, 1 / (np.minimum(first, k) + 1.0), 0.0)


RANKED = {
    "hr": hit_rate, "ndcg": ndcg, "precision": precision, "recall": recall, "mrr": reciprocal_rank,
}  # fmt: skip


def auc(score: NDArray[np.floating[Any]], label: NDArray[np.bool_]) -> float:
    """Probability that a positive row scores higher than a negative one; a tie is half.

    NaN where there are no rows of one of the two.
    """
    positive = int(label.sum())
    negative = len(label) - positive
    if not positive or not negative:
        return float("nan")
    _, inverse, counts = np.unique(score, return_inverse=True, return_counts=True)
    middle = np.cumsum(counts) - (counts - 1) / 2  # mean 1-based rank of each tie
    above = float(middle[inverse][label].sum()) - positive * (positive + 1) / 2
    return above / (positive * negative)


def calibration_error(
    probability: NDArray[np.floating[Any]], label: NDArray[np.bool_], bins: int = 15
) -> float:
    """Expected calibration error: mean distance of what is said and what happens, a bin of equal size.

    Naeini, Cooper and Hauskrecht 2015, with bins of equal numbers of rows instead of equal width: most
    probabilities of a feed lie near 0.
    """
    order = np.argsort(probability, kind="stable")
    parts = np.array_split(order, min(bins, max(len(order), 1)))
    gaps = [abs(float(probability[p].mean() - label[p].mean())) * len(p) for p in parts if len(p)]
    return sum(gaps) / max(len(order), 1)
