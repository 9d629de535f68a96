"""How near each candidate is to the viewer."""

from collections.abc import Mapping

from contracts.batch import CandidateBatch, Column
from contracts.features import COSINE
from contracts.funnel import Query
from operators.catalog import Catalog
from operators.nearness import cosines


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
        return {COSINE.name: cosines(self.catalog, batch["row"], query.embedding)}
