"""The day-0 user tower: a decayed mean of what was watched, weighted by how.

    state' = state * 2^-(gap / half life + fade * |w|) + w * item

An event fades what was before it by its own weight, so that a handful of watches outweigh any
history, and the state stays bounded without a clock. Every operation is elementwise and exactly
rounded (no BLAS, no vectorised exp whose last bit depends on the lane), so a user's new state is the
same, bit for bit, whoever else is in the batch.
"""

from itertools import pairwise
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from contracts.events import Action
from contracts.models import F32, StepInputs

F64 = NDArray[np.float64]

# Taylor coefficients of 2^x = e^(x ln 2): on [-1, 0] the tail after ten is below 1e-9.
_EXP2: Final = tuple(float(c) for c in np.cumprod([1.0, *(np.log(2) / k for k in range(1, 11))]))
_THREE_STARS: Final = 0.6
_OLDEST_HALF_LIVES: Final = (
    20.0  # a longer absence fades no further, so that a taste never vanishes
)


class MeanWeights(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How much an event moves the viewer towards (or away from) the video.

    Attributes:
        watch: of a watch of the whole video; a part of it weighs its share.
        watch_unknown: of a watch that does not say how much was watched.
        rate: of five stars; three say nothing, one is as much as five, the other way.
        watch_most: looping a video counts up to so many whole watches.
        fade: half-lives that one whole watch costs what was known before. With 0.5 three whole
            watches keep 35 % of the old state and then are 65 % of the new one, after any history.
        half_life_d: days in which half of a taste is forgotten.
    """

    click: float = 0.3
    watch: float = 1.0
    watch_unknown: float = 0.4
    watch_most: float = 1.5
    like: float = 1.0
    unlike: float = -1.0
    share: float = 1.2
    comment: float = 0.6
    follow: float = 1.2
    unfollow: float = -1.2
    skip: float = -0.4
    not_interested: float = -1.5
    search: float = 0.7
    rate: float = 1.0
    fade: float = 0.5
    half_life_d: float = 14.0


class DecayedMean:
    """The user tower of the day-0 bundle: the state is the sum itself, (d,) float32."""

    context: tuple[str, ...] = ()

    def __init__(self, dim: int, weights: MeanWeights | None = None) -> None:
        self.dim = self.hidden = dim
        self._weights = weights = weights or MeanWeights()
        self._table = np.zeros(256, np.float64)  # hover, scroll and unknown actions say nothing
        for action in Action:
            self._table[action] = getattr(weights, action.name.lower(), 0.0)

    def init(self, profiles: NDArray[Any], interests: F32) -> F32:
        """(n, d) states: onboarding interests count like one whole watch of such a video."""
        return np.array(interests, np.float32)

    def step(self, state: F32, inputs: StepInputs) -> F32:
        """(n, d) states after one event each. A video without a vector changes nothing but time."""
        return self.steps(state, inputs, np.array([0, len(state)]))

    def steps(self, state: F32, inputs: StepInputs, starts: NDArray[np.intp]) -> F32:
        """(u, d) states after rounds of events, of whole prefixes of the people."""
        items = np.nan_to_num(inputs.items, posinf=0.0, neginf=0.0)
        weight = np.where((items != 0).any(axis=1), self._weigh(inputs), 0.0)
        gaps_d = np.fmax(inputs.gaps_s.astype(np.float64), 0.0) / 86_400
        idle = np.minimum(gaps_d / self._weights.half_life_d, _OLDEST_HALF_LIVES)
        kept = halved(idle + self._weights.fade * np.abs(weight)).astype(np.float32)[:, None]
        items *= weight.astype(np.float32)[:, None]
        after = np.array(state, np.float32)
        edges = starts.tolist()
        for a, b in pairwise(edges):
            first = after[: b - a]
            first *= kept[a:b]
            first += items[a:b]
        return after

    def read_out(self, state: F32) -> F32:
        """(n, d) unit vectors; zero rows for people of whom nothing is known."""
        squares = state.astype(np.float64) ** 2
        while squares.shape[1] > 1:  # halves added to halves: an order that no batch can change
            if squares.shape[1] % 2:
                squares = np.pad(squares, ((0, 0), (0, 1)))
            half = squares.shape[1] // 2
            squares = squares[:, :half] + squares[:, half:]
        norm = np.sqrt(squares)
        out = np.zeros(state.shape, np.float64)
        return np.divide(state, norm, out=out, where=norm > 0).astype(np.float32)

    def _weigh(self, inputs: StepInputs) -> F64:
        w = self._weights
        shares = inputs.shares.astype(np.float64)
        watched = np.minimum(np.fmax(shares, 0.0), w.watch_most) * w.watch
        watched = np.where(np.isnan(shares), w.watch_unknown, watched)
        rated = np.where(np.isnan(shares), _THREE_STARS, np.clip(shares, 0.0, 1.0))
        stars = (5 * rated - 3) / 2 * w.rate
        weight: F64 = np.where(inputs.actions == Action.WATCH, watched, self._table[inputs.actions])
        return np.where(inputs.actions == Action.RATE, stars, weight)


def halved(half_lives: NDArray[Any]) -> F64:
    """2^-x for x >= 0 with additions and multiplications only, to 1e-9, the same on every machine.

    >>> halved(np.array([0.0, 1.0, 2.0])).tolist()
    [1.0, 0.5, 0.25]
    """
    whole = np.floor(half_lives)
    part = whole - half_lives  # (-1, 0]
    total = np.full(np.shape(half_lives), _EXP2[-1])
    for coefficient in _EXP2[-2::-1]:
        total = total * part + coefficient
    out: F64 = np.ldexp(total, -whole.astype(np.int32))
    return out
