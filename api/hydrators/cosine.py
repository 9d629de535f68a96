"""How near each candidate is to the viewer."""

from collections.abc import Mapping

import numpy as np

from contracts.batch import CandidateBatch, Column
from contracts.features import COSINE
from contracts.funnel import Query
from contracts.models import F32
from operators.catalog import Catalog


class Cosine:
    """`cosine` of the viewer's vector and the candidate's; needs `video_facts`."""

    name = "cosine"
    provides = (COSINE,)

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog

    async def hydrate(self, query: Query, batch: CandidateBatch) -> Mapping[str, Column]:
        """Zero for a viewer of whom nothing is known."""
        if query.embedding is None:
            return {COSINE.name: COSINE.filled(len(batch))}
        return {COSINE.name: cosines(self.catalog, batch, query.embedding)}


def cosines(catalog: Catalog, batch: CandidateBatch, unit: F32) -> F32:
    """(n,) cosine of each candidate and a (d,) unit vector; 0 where the catalog does not know it."""
    rows = batch["row"]
    # einsum, not BLAS: a row's value must not depend on which rows stand beside it.
    near: F32 = np.einsum("nd,d->n", catalog.vectors(np.maximum(rows, 0)), unit)
    return np.where(rows >= 0, near, np.float32(0))
