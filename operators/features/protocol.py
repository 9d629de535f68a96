"""The two sides of a feature."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from contracts.batch import CandidateBatch, Column, ColumnSpec
from contracts.settings import UserSettings

Records = NDArray[Any]  # (u,) of contracts.user_record.user_dtype


class Asked(NamedTuple):
    """What a page is asked for: when, in which language (0 unknown), and where it will be shown."""

    now_ms: int
    language: int
    surface: int  # `contracts.ids.pack_name`


Read = Callable[[Any, CandidateBatch, Asked], Column]


@dataclass(frozen=True, slots=True, eq=False)
class LiveEvents:
    """Events that change a record, in the order of arrival.

    Attributes:
        rows: (n,) of `operators.event_columns.EVENT`; `rows["user"]` points into the records.
        weight: (n,) float32, `operators.signals.taste`.
        queries: row -> text of a search.
        now_ms: when they are folded.
    """

    rows: NDArray[Any]
    weight: NDArray[np.float32]
    queries: Mapping[int, str]
    now_ms: int
    settings: UserSettings


class Fold(Protocol):
    """Changes the records in place by one event after the other, each record by its own alone."""

    def __call__(self, records: Records, events: LiveEvents, /) -> None: ...


@dataclass(frozen=True, slots=True)
class Feature:
    """The read side: one column of the ranker.

    `read(state, batch, asked)` is only called with a state; without one every row has
    the declared default.
    """

    spec: ColumnSpec
    read: Read
    needs_state: bool = True

    def values(self, state: Any, batch: CandidateBatch, asked: Asked) -> Column:
        """(n, *shape) of the declared dtype for one viewer (a record or None) and n candidates."""
        if state is None and self.needs_state:
            return self.spec.filled(len(batch))
        column = self.read(state, batch, asked)
        if column.shape == (len(batch), *self.spec.shape):
            return column.astype(self.spec.dtype, copy=False)
        return np.full((len(batch), *self.spec.shape), column, self.spec.dtype)
