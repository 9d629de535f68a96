"""Intervals over people: who happened to be in the log is the chance that a figure rests on."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

DRAWS: Final = 1000
_AT_ONCE: Final = 100


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over queries, and the central 95 % of it when people are drawn anew."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:.4f} ({self.low:.4f} to {self.high:.4f})"


def estimate(
    values: NDArray[np.floating[Any]],
    person: NDArray[np.integer[Any]],
    draws: int = DRAWS,
    seed: int = 0,
) -> Estimate:
    """Mean of (q,) values of queries of (q,) people, with a bootstrap interval over the people.

    All queries of a person are drawn together (Efron and Tibshirani 1993, the cluster bootstrap).
    Equal people, draws and seed give equal draws, so the difference of two recommenders on the same
    queries is `estimate` of their differences.
    """
    if not len(values):
        return Estimate(float("nan"), float("nan"), float("nan"))
    _, place = np.unique(person, return_inverse=True)
    total = np.bincount(place, values)
    number = np.bincount(place).astype(np.float64)
    rng, people, means = np.random.default_rng(seed), len(number), []
    for start in range(0, draws, _AT_ONCE):
        n = min(_AT_ONCE, draws - start)
        drawn = rng.multinomial(people, np.full(people, 1 / people), n).astype(np.float64)
        means.append((drawn @ total) / (drawn @ number))
    low, high = np.quantile(np.concatenate(means), [0.025, 0.975])
    return Estimate(float(np.mean(values)), float(low), float(high))
