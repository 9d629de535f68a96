"""What is known about a viewer, in the catalog's words."""

from typing import Any

import numpy as np

from operators.catalog import Catalog
from operators.describe import describe


def known_about(state: Any, catalog: Catalog) -> dict[str, Any]:
    """JSON-ready description of one record (`operators.describe`)."""

    def video_of(video: int) -> str | None:
        row = catalog.rows_of(np.array([video], np.int64))[0]
        return catalog.video_id(row) if row >= 0 else None

    return describe(state, catalog.name_of, video_of)
