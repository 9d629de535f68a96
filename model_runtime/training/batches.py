"""Steps of training: parts of many people's histories end to end, without padding."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model_runtime.signals import gap_buckets, signals
from model_runtime.training.sequences import Sequences
from model_runtime.training.split import Split

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """n events, of which m are followed by a like.

    Attributes:
        item, signal, gap, position: (n,) int64; item -1 is none (see `user_tower.Events`).
        longest: events of the person with most.
        at: (m,) events after which the viewer is asked.
        target: (m,) videos that were liked next.
        hard: (m, h) videos that the same person met and did not like, -1 for none.
    """

    item: Ints
    signal: Ints
    gap: Ints
    position: Ints
    longest: int
    at: Ints
    target: Ints
    hard: Ints


class Windows:
    """Cuts a part of each person's history an epoch, and groups them to steps."""

    def __init__(self, split: Split, window: int, tokens: int, hard: int) -> None:
        self._split, self._sequences = split, split.sequences
        self._window, self._tokens, self._hard = window, tokens, hard
        s = self._sequences
        self._signal, self._gap = signals(s.action, s.share), gap_buckets(s.gap_s)

    def epoch(self, rng: np.random.Generator) -> list[tuple[Ints, Ints]]:
        """(starts, ends) of each step's parts. The last event is never read, only predicted."""
        starts, ends = self._sequences.offsets[:-1], self._split.learned - 1
        starts, ends = starts[ends > starts], ends[ends > starts]
        size = np.minimum(ends - starts, self._window)
        free = ends - starts - size
        back = np.where(rng.random(len(size)) < 0.5, 0, rng.random(len(size)) * (free + 1))
        ends = ends - back.astype(np.int64)
        order = rng.permutation(len(size))
        step = np.cumsum(size[order]) // self._tokens
        cuts = np.flatnonzero(np.diff(step)) + 1
        return [((ends - size)[some], ends[some]) for some in np.split(order, cuts)]

    def batch(self, starts: Ints, ends: Ints, rng: np.random.Generator) -> Batch:
        """The events starts[i] to ends[i] of each part, and what is asked about them."""
        s = self._sequences
        row, position = ragged(starts, ends)
        at = np.flatnonzero(self._split.liked[row + 1])
        hard = self._hard_negatives(row, at, np.cumsum(position == 0) - 1, rng)
        return Batch(
            s.item[row].astype(np.int64), self._signal[row], self._gap[row], position,
            int((ends - starts).max()), at, s.item[row[at] + 1].astype(np.int64), hard,
        )  # fmt: skip

    def _hard_negatives(self, row: Ints, at: Ints, part: Ints, rng: np.random.Generator) -> Ints:
        """(m, h) drawn from the videos that the same part met without a like."""
        s = self._sequences
        met = np.flatnonzero((s.item[row] >= 0) & ~self._split.liked[row])
        counts = np.bincount(part[met], minlength=part[-1] + 1)
        begins = np.cumsum(counts) - counts
        of = part[at][:, None]
        drawn = (rng.random((len(at), self._hard)) * counts[of]).astype(np.int64)
        if not len(met):
            return np.full((len(at), self._hard), -1, np.int64)
        items = s.item[row[met[np.minimum(begins[of] + drawn, len(met) - 1)]]].astype(np.int64)
        liked_next = s.item[row[at] + 1][:, None]
        return np.where((counts[of] > 0) & (items != liked_next), items, -1)


def histories(sequences: Sequences, asked: Ints, tokens: int) -> Iterator[tuple[Ints, Batch]]:
    """All events before each asked one; groups of at most about `tokens` events.

    Yields:
        The (k,) asked events of the group and the batch, whose `at` are the last events before.
    """
    starts = sequences.offsets[np.searchsorted(sequences.offsets, asked, "right") - 1]
    some = np.flatnonzero(asked > starts)
    step = np.cumsum(asked[some] - starts[some]) // tokens
    for group in np.split(some, np.flatnonzero(np.diff(step)) + 1):
        if len(group):
            row, position = ragged(starts[group], asked[group])
            sizes = asked[group] - starts[group]
            yield asked[group], Batch(
                sequences.item[row].astype(np.int64),
                signals(sequences.action[row], sequences.share[row]),
                gap_buckets(sequences.gap_s[row]), position, int(sizes.max()),
                np.cumsum(sizes) - 1, sequences.item[asked[group]].astype(np.int64),
                np.zeros((len(group), 0), np.int64),
            )  # fmt: skip


def ragged(starts: Ints, ends: Ints) -> tuple[Ints, Ints]:
    """Rows of parts end to end, and the place of each in its part.

    >>> [a.tolist() for a in ragged(np.array([4, 9]), np.array([6, 12]))]
    [[4, 5, 9, 10, 11], [0, 1, 0, 1, 2]]
    """
    sizes = ends - starts
    position = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return np.repeat(starts, sizes) + position, position
