"""Which events are learned from, and which are kept back to be predicted.

`last`: leave-one-out, the protocol of the published tables: of each person's likes the last is the
test, the one before it the validation. `time`: one moment for everybody; what is liked first after
it is predicted from all before, and nothing that comes later is learned from.
"""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from contracts.errors import DatasetError
from model_runtime.training.log import Log
from model_runtime.training.sequences import Sequences

How = Literal["last", "time"]
Positives = Literal["liked", "any"]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """Sequences with what may be learned from.

    Attributes:
        liked: (n,) bool, the first like of a video by a person: what is predicted.
        learned: (u,) int64, where the events of a person that are learned from end.
        untested: (u,) int64, where those end that lie before the test.
        validation, test: (k,) int64 events to be predicted from all of the person's before them.
    """

    sequences: Sequences
    liked: NDArray[np.bool_]
    learned: Ints
    untested: Ints
    validation: Ints
    test: Ints

    @property
    def before_test(self) -> "Split":
        """The same, with everything before the test to be learned from."""
        return replace(self, learned=self.untested)

    @property
    def met(self) -> NDArray[np.bool_]:
        """(videos,) those in events that are learned from."""
        s = self.sequences
        met = np.zeros(s.videos, np.bool_)
        item = s.item[np.arange(len(s.item)) < np.repeat(self.learned, s.lengths)]
        met[item[item >= 0]] = True
        return met


def split(
    log: Log, sequences: Sequences, how: How, share: float, positives: Positives = "liked",
    left: float = 0.0,
) -> Split:  # fmt: skip
    """The log with its last likes, or the likes of its last `share` of events, kept back.

    Args:
        left: share of the events before those that are kept back, the last too, that is not learned
            from either (by time).
        positives: "any" takes every event about a video as a like, as the protocol of the published
            tables does.

    Raises:
        DatasetError: nobody has likes enough, or nothing is left to learn from.
    """
    wanted = log.liked[sequences.row] if positives == "liked" else sequences.item >= 0
    liked = first_of_pair(sequences, wanted)
    if how == "last":
        made = _by_last(sequences, liked)
    else:
        arrived_ms = log.rows[
            "broker_ms"
        ]  # as an evaluation cuts: a late event is learned from late
        cuts = moments(arrived_ms, share + left, share / 2)
        made = _by_time(sequences, liked, arrived_ms[sequences.row], *cuts)
    made = replace(
        made,
        validation=_with_past(sequences, made.validation),
        test=_with_past(sequences, made.test),
    )
    if not len(made.validation) or not made.met.any():
        raise DatasetError(
            f"{log.about.name}: nobody likes enough videos for the split {how!r} "
            f"({liked.sum()} likes of {len(sequences)} people): nothing is left to validate on"
        )
    return made


def _with_past(sequences: Sequences, events: Ints) -> Ints:
    """Those that have an event of the same person before them: the others say nothing of a tower."""
    return events[~np.isin(events, sequences.offsets[:-1])]


def first_of_pair(sequences: Sequences, liked: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(n,) the first of the likes of the same video by the same person."""
    person = np.repeat(np.arange(len(sequences)), sequences.lengths)
    at = np.flatnonzero(liked)
    pair = person[at] * np.int64(sequences.videos) + sequences.item[at]
    first = np.zeros(len(liked), np.bool_)
    first[at[np.unique(pair, return_index=True)[1]]] = True
    return first


def _by_last(sequences: Sequences, liked: NDArray[np.bool_]) -> Split:
    """People with three likes and more; the others' events are all learned from."""
    at = np.flatnonzero(liked)
    person = np.searchsorted(sequences.offsets, at, "right") - 1
    ends = np.cumsum(np.bincount(person, minlength=len(sequences)))
    some = np.diff(np.r_[0, ends]) >= 3
    validation, test = at[ends[some] - 2], at[ends[some] - 1]
    learned, untested = sequences.offsets[1:].copy(), sequences.offsets[1:].copy()
    learned[some], untested[some] = validation, test
    return Split(sequences, liked, learned, untested, validation, test)


def moments(times_ms: Ints, *shares: float) -> tuple[int, ...]:
    """When the last so many shares of all begin."""
    times = np.sort(times_ms)
    return tuple(int(times[int(len(times) * (1 - share))]) for share in shares)


def _by_time(
    sequences: Sequences, liked: NDArray[np.bool_], at_ms: Ints, learned_until: int,
    validated_until: int,
) -> Split:  # fmt: skip
    """What is before one moment is learned from, what is before the other validates, the rest tests.

    Args:
        at_ms: when each event arrived; in the order of a person's events.
    """
    person = np.repeat(np.arange(len(sequences)), sequences.lengths)
    after, later = at_ms >= learned_until, at_ms >= validated_until
    learned, untested = (
        sequences.offsets[1:] - np.bincount(person[kept], minlength=len(sequences))
        for kept in (after, later)
    )
    return Split(
        sequences,
        liked,
        learned,
        untested,
        _first(liked & after & ~later, person),
        _first(liked & later, person),
    )


def _first(mask: NDArray[np.bool_], person: NDArray[np.intp]) -> Ints:
    """The first event of each person among those marked."""
    at = np.flatnonzero(mask)
    return at[np.unique(person[at], return_index=True)[1]].astype(np.int64)
