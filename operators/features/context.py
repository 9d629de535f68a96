"""Where and on what a person was when nobody told us in a profile, and how fresh the record is."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from operators.features.protocol import LiveEvents, Records
from operators.kernel import kernel

# An event is timed from its own clock if that is near the broker's; else a late or replayed event
# would look like a slow engine.
_PRODUCED_WITHIN_MS: Final = 60_000
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
