"""How near a viewer is to videos: what the feed and training compute alike."""

from typing import Any

import numpy as np

from contracts.batch import Rows
from contracts.ids import hash64
from contracts.models import F32, Bundle
from operators.catalog import Catalog


def embedding_of(state: Any | None, bundle: Bundle) -> F32 | None:
    """(d,) float32 unit vector; None for nothing known, or a record of another bundle."""
    if state is None or int(state["bundle"]) != hash64(bundle.id):
        return None
    vector: F32 = state["vector"].astype(np.float32)
    norm = float(np.linalg.norm(vector))
    if len(vector) != bundle.users.dim or not np.isfinite(norm) or norm < 1e-6:
        return None
    return vector / np.float32(norm)


def cosines(catalog: Catalog, rows: Rows, unit: F32) -> F32:
    """(n,) cosine of each video of the catalog and a (d,) unit vector; 0 for row -1."""
    # einsum, not BLAS: a row's value must not depend on which rows stand beside it.
    near: F32 = np.einsum("nd,d->n", catalog.vectors(np.maximum(rows, 0)), unit)
    return np.where(rows >= 0, near, np.float32(0))
