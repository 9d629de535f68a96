"""The funnel's Protocols. What runs is one literal (`api.home`); an experiment is another literal."""

from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from contracts.batch import CandidateBatch, Column, ColumnSpec, Ids, Mask, Rows


class OnError(Enum):
    """What a failed filter does: a convenience filter keeps every row, a safety filter none."""

    KEEP = "keep"
    DROP = "drop"


@dataclass(frozen=True, slots=True, eq=False)
class Query:
    """One request with everything known about the viewer.

    Attributes:
        limit: items on the page.
        country, language: packed (`contracts.ids`), the request's own or the profile's; 0 unknown.
        age: years, None unknown.
        state: the viewer's record (`contracts.user_record`), None when it is not known.
        embedding: (d,) float32 unit vector, None when nothing is known.
        served: (m,) uint32, 32-bit hashes of what earlier pages showed.
        seed: for exploration; the same request id gives the same page.
        anchor: 64-bit hash of the video that the request is about, 0 none.
        category: 32-bit hash of the only category wanted, 0 any.
    """

    request_id: str
    user_id: str
    now_ms: int
    limit: int = 20
    country: int = 0
    language: int = 0
    age: int | None = None
    surface: str = "home"
    state: Any = None
    embedding: NDArray[np.float32] | None = None
    served: NDArray[np.uint32] = field(default_factory=lambda: np.empty(0, np.uint32))
    seed: int = 0
    anchor: int = 0
    category: int = 0


class Component(Protocol):
    """`name` is the Prometheus label: lower_snake_case, stable across releases."""

    @property
    def name(self) -> str: ...


class Producer(Component, Protocol):
    """Adds the columns that it declares."""

    @property
    def provides(self) -> tuple[ColumnSpec, ...]: ...


class Source(Component, Protocol):
    """Retrieves candidates. What reads memory is a plain method; what waits is an `async def`.

    Those that wait do so at once, with a deadline; those that read memory run one after the other.
    """

    def enabled(self, query: Query) -> bool: ...

    def retrieve(self, query: Query) -> Ids | Awaitable[Ids]:
        """(m,) int64 ids, best first, no duplicates. Raise to be skipped for this request."""


class Hydrator(Producer, Protocol):
    """Adds columns. May not drop, add or reorder rows."""

    async def hydrate(self, query: Query, batch: CandidateBatch) -> Mapping[str, Column]:
        """One array of len(batch) rows per declared column. Raise to get the defaults."""


class Filter(Component, Protocol):
    """Says which rows may be shown. Judges each row alone, so filters commute."""

    @property
    def on_error(self) -> OnError: ...

    def keep(self, query: Query, batch: CandidateBatch) -> Mask: ...


class Scorer(Producer, Protocol):
    """Adds score columns; the last scorer of a funnel provides `score`."""

    def score(self, query: Query, batch: CandidateBatch) -> Mapping[str, Column]:
        """(n,) float32 per declared column. NaN means "no opinion" and ranks last."""


class Reranker(Component, Protocol):
    """Orders the slate as a whole: diversity, caps, exploration."""

    def rerank(self, query: Query, batch: CandidateBatch) -> Rows:
        """A permutation of range(len(batch)), best first. Never drops a row."""


@dataclass(frozen=True, slots=True)
class FunnelSpec:
    """The literal: what runs, in which order."""

    sources: Sequence[Source]
    hydrators: Sequence[Hydrator]
    filters: Sequence[Filter]
    scorers: Sequence[Scorer]
    rerankers: Sequence[Reranker]
