"""Columns of the candidate beside the viewer that need no history."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from contracts.batch import CandidateBatch, Column
from contracts.features import VIEWER_COLUMNS
from contracts.units import HOUR_MS
from operators.features.protocol import Asked, Feature

_SPEC: Final = {spec.name: spec for spec in VIEWER_COLUMNS}


def age_hours(published_ms: NDArray[np.int64], now_ms: int) -> NDArray[np.float32]:
    """(n,) hours since publication; a video from the future counts as new, not as negative."""
    return (np.maximum(now_ms - published_ms, 0) / HOUR_MS).astype(np.float32)


def _age(state: Any, batch: CandidateBatch, asked: Asked) -> Column:
    return age_hours(batch["published_ms"], asked.now_ms)


def _language(state: Any, batch: CandidateBatch, asked: Asked) -> Column:
    spoken = batch["language"]
    known = (spoken != 0) & (asked.language != 0)
    return np.where(known, (spoken == asked.language).astype(np.float32), np.float32(0.5))


FEATURES: Final = (
    Feature(_SPEC["age_hours"], _age, needs_state=False),
    Feature(_SPEC["language_match"], _language, needs_state=False),
)
