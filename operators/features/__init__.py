"""One definition per feature: the module that folds events into the record also reads it out.

`FOLDS` runs in the stream, in this order; none reads what another writes. `FEATURES` are the columns
that the ranker sees, at request time and in training.
"""

from typing import Final

from operators.features import (
    affinities,
    candidate,
    context,
    follows,
    history,
    searches,
    seen,
    sessions,
    statistics,
)
from operators.features.protocol import Feature, Fold

FOLDS: Final[tuple[Fold, ...]] = (
    sessions.fold,
    affinities.fold,
    statistics.fold,
    history.fold,
    seen.fold,
    follows.fold,
    searches.fold,
    context.fold,
)
FEATURES: Final[tuple[Feature, ...]] = (
    *affinities.FEATURES,
    *follows.FEATURES,
    *statistics.FEATURES,
    *sessions.FEATURES,
    *candidate.FEATURES,
    *context.FEATURES,
)

__all__ = ["FEATURES", "FOLDS", "Feature", "Fold"]
