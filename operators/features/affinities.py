"""Decayed affinity to categories, creators, languages and tags, and the habit of the hour.

All values share one reference time, `affinity_ms`, so that decay is one product over one field. An
event that comes late is decayed to that time, so the order of arrival does not matter to a sum.
"""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from contracts.batch import CandidateBatch, Column
from contracts.features import TAGS_PER_VIDEO, VIEWER_COLUMNS
from contracts.units import HOUR_MS
from contracts.user_record import VALUES
from operators.features.protocol import Asked, Feature, LiveEvents, Records
from operators.kernel import kernel

# Where each table begins among the keys and the values: categories, creators, languages, tags.
STARTS: Final = tuple(
    VALUES[name].start for name in ("category", "creator", "language", "tag", "hour")
)
HOURS: Final = STARTS[-1]
VALUES_N: Final = HOURS + 24
_SPEC: Final = {spec.name: spec for spec in VIEWER_COLUMNS}


def fold(records: Records, events: LiveEvents) -> None:
    """Add the event's weight to what it is about."""
    half_life_ms = events.settings.affinity_half_life_h * HOUR_MS
    _fold(_tables(records), events.rows, events.weight, half_life_ms)


def _tables(records: Records) -> Records:
    """A view in which the keys of all tables are one field, beside `affinity`."""
    dtype = records.dtype
    fields: Mapping[str, Any] = dtype.fields or {}
    view = {
        "names": ["affinity_ms", "keys", "affinity"],
        "formats": ["<i8", ("<u4", HOURS), fields["affinity"][0]],
        "offsets": [fields[name][1] for name in ("affinity_ms", "category_key", "affinity")],
        "itemsize": dtype.itemsize,
    }
    return records.view(np.dtype(view))  # type: ignore[call-overload]


@kernel
def _fold(
    records: Records, events: NDArray[Any], weight: NDArray[np.float32], half_life_ms: float
) -> None:
    starts = np.array(STARTS)
    about = np.zeros(3 + TAGS_PER_VIDEO, np.uint32)
    for i, e in enumerate(events):
        r = records[e.user]
        arrival = np.float32(1)
        factor = np.float32(2.0 ** (-abs(e.ts_ms - r.affinity_ms) / half_life_ms))
        if e.ts_ms > r.affinity_ms:
            for k in range(VALUES_N):
                r.affinity[k] *= factor
            r.affinity_ms = e.ts_ms
        else:
            arrival = factor
        r.affinity[HOURS + e.ts_ms // HOUR_MS % 24] += arrival
        gain = weight[i] * arrival
        if gain == 0:
            continue
        about[0], about[1], about[2] = e.category, e.creator, e.language
        about[3:] = e.tags
        for j in range(len(about)):
            if about[j] == 0:
                continue
            t = min(j, 3)
            slot = starts[t]
            for k in range(starts[t], starts[t + 1]):
                if r.keys[k] == about[j]:
                    slot = k
                    break
                if abs(r.affinity[k]) < abs(r.affinity[slot]):
                    slot = k
            if r.keys[slot] != about[j]:  # the weakest gives way
                r.keys[slot] = about[j]
                r.affinity[slot] = 0
            r.affinity[slot] += gain


def table(state: Any, name: str) -> tuple[NDArray[np.uint32], NDArray[np.float32]]:
    """(keys, values) of one table of one record, strongest first, free slots left out."""
    keys, values = state[f"{name}_key"], state["affinity"][VALUES[name]]
    order = np.argsort(-np.abs(values), kind="stable")
    order = order[keys[order] != 0]
    return keys[order], values[order]


def lookup(state: Any, name: str, wanted: NDArray[np.integer[Any]]) -> NDArray[np.float32]:
    """Value of each wanted key in a table of one record, 0 where it is not there; any shape."""
    keys, values = state[f"{name}_key"], state["affinity"][VALUES[name]]
    asked = np.ascontiguousarray(wanted, np.uint32)
    return _look_up(keys, values, asked.reshape(-1)).reshape(asked.shape)


@kernel
def _look_up(
    keys: NDArray[np.uint32], values: NDArray[np.float32], wanted: NDArray[np.uint32]
) -> NDArray[np.float32]:
    out = np.zeros(len(wanted), np.float32)
    for i in range(len(wanted)):
        if wanted[i] == 0:
            continue
        for k in range(len(keys)):
            if keys[k] == wanted[i]:
                out[i] = values[k]
                break
    return out


def _reader(name: str, column: str) -> Feature:
    def read(state: Any, batch: CandidateBatch, asked: Asked) -> Column:
        values = lookup(state, name, batch[column])
        return values.mean(axis=1) if values.ndim == 2 else values

    return Feature(_SPEC[f"affinity_{column}"], read)


def _hour_habit(state: Any, batch: CandidateBatch, asked: Asked) -> Column:
    hours = state["affinity"][VALUES["hour"]]
    total = float(hours.sum())
    share = hours[asked.now_ms // HOUR_MS % 24] / total if total > 0 else 0.0
    return np.asarray(share, np.float32)


FEATURES: Final = (
    _reader("category", "category"),
    _reader("creator", "creator"),
    _reader("language", "language"),
    _reader("tag", "tags"),
    Feature(_SPEC["hour_habit"], _hour_habit),
)
