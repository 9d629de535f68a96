"""Safety: what is gone, not licensed here, or not for this age. On failure nothing passes."""

from dataclasses import dataclass

import numpy as np

from contracts.batch import CandidateBatch, Mask
from contracts.funnel import OnError, Query
from operators.catalog import Catalog


@dataclass(frozen=True, slots=True)
class NotRemoved:
    """Drops what the catalog does not know (any more)."""

    name: str = "not_removed"
    on_error: OnError = OnError.DROP

    def keep(self, query: Query, batch: CandidateBatch) -> Mask:
        """True where the catalog has the video."""
        return np.asarray(batch["row"] >= 0)


@dataclass(frozen=True, slots=True)
class LicensedHere:
    """Drops what may not be shown in the viewer's country; unknown sees what is allowed everywhere."""

    catalog: Catalog
    name: str = "licensed_here"
    on_error: OnError = OnError.DROP

    def keep(self, query: Query, batch: CandidateBatch) -> Mask:
        """True where the licence covers the country."""
        rows = batch["row"]
        allowed = rows >= 0
        allowed[allowed] = self.catalog.allowed_in(query.country, rows[allowed])
        return np.asarray(allowed)


@dataclass(frozen=True, slots=True)
class OldEnough:
    """Drops what the viewer is too young for; of unknown age one sees what is for everyone."""

    name: str = "old_enough"
    on_error: OnError = OnError.DROP

    def keep(self, query: Query, batch: CandidateBatch) -> Mask:
        """True where the age rating allows it."""
        return np.asarray(batch["min_age"] <= (query.age or 0))


@dataclass(frozen=True, slots=True)
class NotAnchor:
    """Drops the video that the request is about."""

    name: str = "not_anchor"
    on_error: OnError = OnError.KEEP

    def keep(self, query: Query, batch: CandidateBatch) -> Mask:
        """True for all others."""
        return np.asarray(batch.ids != query.anchor)
