"""Several events of one user go in rounds, in order; a round is at most one event a user.

Users with most events come first, so that round r touches a prefix of the records: slices, no
gathers. A record therefore sees the same operations whatever else is in the batch, and a batch cut
anywhere folds to the same bytes.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Rounds:
    """The order of one batch.

    Attributes:
        users: (u,) the distinct users, most events first.
        order: (n,) event rows, round by round; within a round in the order of `users`.
        starts: (rounds + 1,) where each round begins in `order`.
    """

    users: NDArray[np.intp]
    order: NDArray[np.intp]
    starts: NDArray[np.intp]

    def __iter__(self) -> Iterator[slice]:
        """Slices of `order`; the slice of m events belongs to `users[:m]`."""
        for a, b in zip(self.starts[:-1].tolist(), self.starts[1:].tolist(), strict=True):
            yield slice(a, b)


def rounds(user: NDArray[np.intp]) -> Rounds:
    """Rounds of events whose (n,) users are given: [5, 7, 5] -> users [5, 7], order [0, 1, 2]."""
    if not len(user):
        empty = np.empty(0, np.intp)
        return Rounds(empty, empty, np.zeros(1, np.intp))
    by_user = np.argsort(user, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(user[by_user]) != 0])
    sizes = np.diff(np.r_[starts, len(user)])
    most_first = np.argsort(-sizes, kind="stable")
    place = np.empty(len(starts), np.intp)
    place[most_first] = np.arange(len(starts))
    nth = np.arange(len(user)) - np.repeat(starts, sizes)
    order = by_user[np.lexsort((np.repeat(place, sizes), nth))]
    ends = np.cumsum(np.bincount(nth))
    return Rounds(user[by_user[starts[most_first]]], order, np.r_[0, ends].astype(np.intp))
