"""What the viewer would do with each candidate, as the bundle's ranker sees it."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from contracts.batch import CandidateBatch, Column
from contracts.errors import BundleError
from contracts.funnel import Query
from contracts.models import Ranker


class RankerHeads:
    """Every head of the ranker; NaN ("no opinion") in all of them when it fails."""

    name = "ranker"

    def __init__(self, ranker: Ranker) -> None:
        self.ranker = ranker
        self.provides = tuple(replace(spec, default=np.nan) for spec in ranker.provides)

    def score(self, query: Query, batch: CandidateBatch) -> Mapping[str, Column]:
        """(n,) float32 per head.

        Raises:
            BundleError: not one head has an opinion on any row: that is a broken model.
        """
        heads = self.ranker.predict(batch)
        if len(batch) and not any(np.isfinite(column).any() for column in heads.values()):
            raise BundleError("the ranker has no finite opinion on any candidate")
        return heads
