"""The Protocols behind which models are exchanged. A bundle is all of them under one id."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from contracts.batch import CandidateBatch, Column, ColumnSpec
from contracts.videos import Video

F32 = NDArray[np.float32]

# What an event tells of its moment: fields of `operators.event_columns.EVENT`, 0 where it does not.
MOMENT: Final = np.dtype([
    ("ts_ms", np.int64), ("country", np.uint16), ("spoken", np.uint16), ("device", np.uint32),
    ("connection", np.uint32), ("surface", np.uint32),
])  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class StepInputs:
    """One event each of n different users, as the user tower sees it.

    Attributes:
        items: (n, d) float32 vectors of the videos; zero rows where there is none.
        actions: (n,) uint8, `contracts.events.Action`.
        shares: (n,) float32 watched share of the video, of a rating its share of five stars; NaN
            where the event does not say.
        gaps_s: (n,) float32 seconds since the user's event before, 0 for the first.
        moments: (n,) with the fields of `MOMENT`; None for a tower that reads none of them.
    """

    items: F32
    actions: NDArray[np.uint8]
    shares: F32
    gaps_s: F32
    moments: NDArray[Any] | None = None


class UserTower(Protocol):
    """A recurrence: its hidden state lives in the user's blob and costs O(1) an event."""

    @property
    def hidden(self) -> int:
        """Float32 numbers of state a user."""

    @property
    def dim(self) -> int: ...

    @property
    def context(self) -> tuple[str, ...]:
        """What of an event's moment it reads; without any, nobody has to gather it."""

    def init(self, profiles: NDArray[Any], interests: F32) -> F32:
        """(n, hidden) states of people who did nothing yet, but may have told us of themselves.

        Args:
            profiles: (n,) with the fields of `contracts.user_record.PROFILE`; a table of records is.
            interests: (n, d) vectors of what they said they like, zero where unknown. A tower may
                read these, or the hashes that the profile holds.
        """

    def step(self, state: F32, inputs: StepInputs) -> F32:
        """(n, hidden) states after one event each. Pure: `state` is not changed."""

    def steps(self, state: F32, inputs: StepInputs, starts: NDArray[np.intp]) -> F32:
        """(u, hidden) states after all events: the same, bit for bit, as one `step` a round.

        Args:
            state: (u, hidden), not changed; people with most events first.
            inputs: n events, round by round: events starts[r] to starts[r + 1] belong to the first
                so many people. What does not depend on the state can be done for all at once.
            starts: (rounds + 1,).
        """

    def read_out(self, state: F32) -> F32:
        """(n, d) unit vectors, zero rows for people of whom nothing is known."""


class ItemTower(Protocol):
    """Turns what is known about a video into a vector; needs no history of it."""

    @property
    def dim(self) -> int: ...

    def embed(self, videos: Sequence[Video]) -> F32:
        """(n, d) unit vectors.

        Raises:
            BadMessageError: on an embedding that is not of the bundle's size.
        """

    def embed_texts(self, texts: Sequence[str]) -> F32:
        """(n, d) unit vectors of free text: search queries, onboarding interests."""


class Ranker(Protocol):
    """Heads that say what the viewer would do with each candidate."""

    @property
    def provides(self) -> tuple[ColumnSpec, ...]:
        """p_click, p_complete, p_like, p_skip, p_not_interested, watch_s."""

    @property
    def features(self) -> tuple[str, ...]:
        """Names of the columns that `predict` reads; a missing one is refused at start-up."""

    def predict(self, batch: CandidateBatch) -> Mapping[str, NDArray[Any]]:
        """(n,) float32 per head."""


class Appeal(Protocol):
    """Orders candidates by how likely the viewer is to take to each now."""

    @property
    def features(self) -> tuple[str, ...]:
        """Names of the columns that `score` reads, beside the ranker's heads."""

    @property
    def reads_heads(self) -> bool:
        """Whether it reads the ranker's heads too."""

    @property
    def trend_half_life_h(self) -> float:
        """Of the column `trend` that it learned on; 0 where that was not noted."""

    def score(self, columns: Mapping[str, Column], n: int) -> F32:
        """(n,) higher is better."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """User tower, item tower and ranker that belong together, under one id.

    Without `appeal` the value model's hand-set weights order what the ranker says.
    """

    id: str
    users: UserTower
    items: ItemTower
    ranker: Ranker
    appeal: Appeal | None = None
