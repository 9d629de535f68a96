"""What the catalog says about each candidate."""

from collections.abc import Mapping

import numpy as np

from contracts.batch import CandidateBatch, Column, ColumnSpec, f32
from contracts.features import VIDEO_COLUMNS
from contracts.funnel import Query
from operators.catalog import Catalog
from operators.nearness import cosines


class VideoFacts:
    """`row` (the catalog's, -1 unknown or removed) and the catalog's columns.

    Not the vector: 64 floats a row that each re-ranker would copy again. Who needs it looks it up by
    `row`, which is not used for another video while a request may hold it.
    """

    name = "video_facts"

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog
        self.provides = (
            ColumnSpec("row", np.dtype(np.intp), -1),
            *VIDEO_COLUMNS,
        )

    async def hydrate(self, query: Query, batch: CandidateBatch) -> Mapping[str, Column]:
        """Defaults where the catalog does not know the id (any more)."""
        rows = self.catalog.rows_of(batch.ids)
        known = np.flatnonzero(rows >= 0)
        found = {"row": rows[known], **self.catalog.columns(rows[known])}
        if len(known) == len(rows):
            return found
        columns = {spec.name: spec.filled(len(batch)) for spec in self.provides}
        for name, column in columns.items():
            column[known] = found[name]
        return columns


class AnchorCosine:
    """`anchor_cosine`: how near a candidate is to the video that the request is about."""

    name = "anchor_cosine"
    provides = (f32("anchor_cosine"),)

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog

    async def hydrate(self, query: Query, batch: CandidateBatch) -> Mapping[str, Column]:
        """Zero without an anchor."""
        rows = self.catalog.rows_of(np.array([query.anchor], np.int64))
        if rows[0] < 0:
            return {"anchor_cosine": np.zeros(len(batch), np.float32)}
        return {"anchor_cosine": cosines(self.catalog, batch["row"], self.catalog.vectors(rows)[0])}
