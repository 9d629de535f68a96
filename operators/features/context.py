"""Where, when and on what a person is, and how fresh the record is."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from contracts.batch import CandidateBatch, Column
from contracts.features import VIEWER_COLUMNS
from contracts.units import HOUR_MS
from operators.features.protocol import Asked, Feature, LiveEvents, Records
from operators.kernel import kernel

# An event is timed from its own clock if that is near the broker's; else a late or replayed event
# would look like a slow engine.
_PRODUCED_WITHIN_MS: Final = 60_000
_NAMES: Final = 65_521  # a 32-bit hash is not exact in a float32; two of a hundred collide rarely
_SPEC: Final = {spec.name: spec for spec in VIEWER_COLUMNS}
FIELDS: Final = ["country", "language", "device", "newest_ms", "folded_ms"]


def fold(records: Records, events: LiveEvents) -> None:
    """The first known country, language and device; when the newest event was made and folded."""
    _fold(records[FIELDS], events.rows, produced_ms(events.rows), events.now_ms)


@kernel
def _fold(records: Records, events: NDArray[Any], produced: NDArray[np.int64], now_ms: int) -> None:
    for i, e in enumerate(events):
        r = records[e.user]
        if r.country == 0:
            r.country = e.country
        if r.language == 0:
            r.language = e.spoken
        if r.device == 0:
            r.device = e.device
        if produced[i] >= r.newest_ms:
            r.newest_ms = produced[i]
            r.folded_ms = now_ms


def produced_ms(events: NDArray[Any]) -> NDArray[np.int64]:
    """(n,) when each event was produced: by its own clock if near the broker's, else the broker's."""
    behind = events["broker_ms"] - events["ts_ms"]
    own = (behind >= 0) & (behind <= _PRODUCED_WITHIN_MS)
    return np.where(own, events["ts_ms"], events["broker_ms"])


def _hour(state: Any, batch: CandidateBatch, asked: Asked) -> Column:
    return np.asarray(asked.now_ms // HOUR_MS % 24, np.float32)


def _country(state: Any, batch: CandidateBatch, asked: Asked) -> Column:
    return np.asarray(state["country"], np.float32)


def _language(state: Any, batch: CandidateBatch, asked: Asked) -> Column:
    return np.asarray(asked.language, np.float32)


def _device(state: Any, batch: CandidateBatch, asked: Asked) -> Column:
    return np.asarray(state["device"] % _NAMES, np.float32)


def _surface(state: Any, batch: CandidateBatch, asked: Asked) -> Column:
    return np.asarray(asked.surface % _NAMES, np.float32)


FEATURES: Final = (
    Feature(_SPEC["hour"], _hour, needs_state=False),
    Feature(_SPEC["viewer_country"], _country),
    Feature(_SPEC["viewer_language"], _language, needs_state=False),
    Feature(_SPEC["viewer_device"], _device),
    Feature(_SPEC["surface"], _surface, needs_state=False),
)
