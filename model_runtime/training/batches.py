"""Steps of training: parts of many people's histories end to end, without padding."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_runtime.forms import UserForm
from model_runtime.signals import gap_buckets, signals
from model_runtime.told import CONTEXT, PROFILE, rows_of
from model_runtime.training.sequences import Sequences
from model_runtime.training.split import Split

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """n events, of which m are followed by a like.

    Attributes:
        item, signal, gap, position: (n,) int64; item -1 is none (see `user_tower.Events`).
        longest: events of the person with most.
        context: (n, k) int64 rows of what is told of the moment.
        begins: (b,) those that are no events, but what people told of themselves before.
        profile: (b, p) int64 rows of what that is.
        at: (m,) events after which the viewer is asked.
        target: (m,) videos that were liked next.
        hard: (m, h) videos that the same person met and did not like, -1 for none.
    """

    item: Ints
    signal: Ints
    gap: Ints
    position: Ints
    longest: int
    context: Ints
    begins: Ints
    profile: Ints
    at: Ints
    target: Ints
    hard: Ints


class Hearing:
    """What the tower is told of parts of people's histories; a part begins with their profile."""

    def __init__(self, sequences: Sequences, form: UserForm) -> None:
        self._sequences, self._form = sequences, form
        self._profile = rows_of(PROFILE, form.profile, sequences.profile)
        self._tells = np.asarray(self._profile.any(axis=1))

    def __call__(self, starts: Ints, ends: Ints) -> tuple[Ints, dict[str, Any]]:
        """The events starts[i] to ends[i] of each part.

        Returns:
            (n,) the event of each row, of a profile the one before the part's first; and the fields
            of a `Batch` that say what is heard.
        """
        s = self._sequences
        person = np.searchsorted(s.offsets, starts, "right") - 1
        tells = self._tells[person]
        row, position = ragged(starts - tells, ends)
        begins = np.flatnonzero(position == 0)[tells]
        heard: dict[str, Any] = {
            "item": s.item[row].astype(np.int64),
            "signal": signals(s.action[row], s.share[row]),
            "gap": gap_buckets(s.gap_s[row]),
            "context": rows_of(CONTEXT, self._form.context, s.moment[row]),
        }
        for name, nothing in (("item", -1), ("signal", 0), ("gap", 0), ("context", 0)):
            heard[name][begins] = nothing
        return row, heard | {
            "position": position, "longest": int(position.max()) + 1, "begins": begins,
            "profile": self._profile[person[tells]],
        }  # fmt: skip


class Windows:
    """Cuts a part of each person's history an epoch, and groups them to steps."""

    def __init__(self, split: Split, form: UserForm, window: int, tokens: int, hard: int) -> None:
        self._split, self._sequences = split, split.sequences
        self._window, self._tokens, self._hard = window, tokens, hard
        self._hear = Hearing(split.sequences, form)

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
        row, heard = self._hear(starts, ends)
        at = np.flatnonzero(self._split.liked[row + 1])
        target = self._sequences.item[row[at] + 1].astype(np.int64)
        part = np.cumsum(heard["position"] == 0) - 1
        hard = self._hard_negatives(heard["item"], row, at, part, rng)
        return Batch(**heard, at=at, target=target, hard=hard)

    def _hard_negatives(
        self, item: Ints, row: Ints, at: Ints, part: Ints, rng: np.random.Generator
    ) -> Ints:
        """(m, h) drawn from the videos that the same part met without a like."""
        met = np.flatnonzero((item >= 0) & ~self._split.liked[row])
        counts = np.bincount(part[met], minlength=part[-1] + 1)
        begins = np.cumsum(counts) - counts
        of = part[at][:, None]
        drawn = (rng.random((len(at), self._hard)) * counts[of]).astype(np.int64)
        if not len(met):
            return np.full((len(at), self._hard), -1, np.int64)
        items = item[met[np.minimum(begins[of] + drawn, len(met) - 1)]]
        liked_next = self._sequences.item[row[at] + 1][:, None]
        return np.where((counts[of] > 0) & (items != liked_next), items, -1)


def histories(
    sequences: Sequences, form: UserForm, asked: Ints, tokens: int
) -> Iterator[tuple[Ints, Batch]]:
    """All events before each asked one; groups of at most about `tokens` events.

    Yields:
        The (k,) asked events of the group and the batch, whose `at` are the last events before.
    """
    starts = sequences.offsets[np.searchsorted(sequences.offsets, asked, "right") - 1]
    some = np.flatnonzero(asked > starts)
    step = np.cumsum(asked[some] - starts[some]) // tokens
    hear = Hearing(sequences, form)
    for group in np.split(some, np.flatnonzero(np.diff(step)) + 1):
        if len(group):
            _, heard = hear(starts[group], asked[group])
            ends = np.append(np.flatnonzero(heard["position"] == 0)[1:], len(heard["position"]))
            target = sequences.item[asked[group]].astype(np.int64)
            hard = np.zeros((len(group), 0), np.int64)
            yield asked[group], Batch(**heard, at=ends - 1, target=target, hard=hard)


def ragged(starts: Ints, ends: Ints) -> tuple[Ints, Ints]:
    """Rows of parts end to end, and the place of each in its part.

    >>> [a.tolist() for a in ragged(np.array([4, 9]), np.array([6, 12]))]
    [[4, 5, 9, 10, 11], [0, 1, 0, 1, 2]]
    """
    sizes = ends - starts
    position = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return np.repeat(starts, sizes) + position, position
