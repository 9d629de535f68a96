"""A log as an evaluation looks at it: who had done what by a moment."""

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from contracts.events import to_ms
from model_runtime.training.log import Log
from model_runtime.training.sequences import Sequences, sequences

Positives = Literal["liked", "any"]
Ints = NDArray[np.int64]
_SPAN: Final = 1 << 42  # milliseconds: more than a person's times can lie apart


@dataclass(frozen=True, slots=True, eq=False)
class World:
    """u people, m videos, n events.

    Attributes:
        positive: (n,) in the order of the sequences: events that count as taking to a video.
        arrived_ms: (n,) in the order of the sequences: when each event was known.
        published_ms: (m,) since when each video may be recommended.
        candidates: (m,) videos that can be recommended at all: those that the log's catalog has.
    """

    log: Log
    people: Sequences
    positive: NDArray[np.bool_]
    arrived_ms: Ints
    published_ms: Ints
    candidates: NDArray[np.bool_]

    @property
    def videos(self) -> int:
        """M."""
        return len(self.candidates)

    def visible(self, user: Ints, before_ms: Ints) -> Ints:
        """(q,) how many of its own events had arrived before a moment, for each person.

        `user` may repeat; the moments are of the log's clock.
        """
        origin = int(self.arrived_ms.min(initial=0))
        person = np.repeat(np.arange(len(self.people)), self.people.lengths)
        keys = person * _SPAN + (self.arrived_ms - origin)
        wanted = user * _SPAN + np.clip(before_ms - origin, 0, _SPAN - 1)
        return np.searchsorted(keys, wanted, "left") - self.people.offsets[user]

    def histories(self, user: Ints, visible: Ints, only_positive: bool = True) -> sparse.csr_matrix:
        """(q, m) float32, 1 where the first `visible` events of a person are about a video."""
        starts = self.people.offsets[user]
        query = np.repeat(np.arange(len(user)), visible)
        event = np.arange(len(query)) - np.repeat(np.cumsum(visible) - visible, visible)
        event += np.repeat(starts, visible)
        item = self.people.item[event]
        keep = item >= 0
        if only_positive:
            keep &= self.positive[event]
        shape = (len(user), self.videos)
        cells = (np.ones(int(keep.sum()), np.float32), (query[keep], item[keep]))
        out = sparse.csr_matrix(cells, shape)  # repeats add up
        out.data[:] = 1
        return out


def world_of(log: Log, positives: Positives = "liked") -> World:
    """The log, ready to be asked.

    Args:
        positives: "any" takes every event about a video as taking to it, as the published tables do.
    """
    people = sequences(log)
    about = people.item >= 0
    positive = about if positives == "any" else log.liked[people.row]
    candidates = np.zeros(len(log.videos), np.bool_)
    candidates[: log.published] = True
    candidates[people.item[about]] = True
    return World(
        log,
        people,
        positive,
        log.rows["broker_ms"][people.row],
        np.array([to_ms(video.published_at) for video in log.videos], np.int64),
        candidates,
    )
