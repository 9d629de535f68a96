"""Decayed affinity to categories, creators, languages and tags, and the habit of the hour.

All values share one reference time, `affinity_ms`, so that decay is one product over one field. An
event that comes late is decayed to that time, so the order of arrival does not matter to a sum.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from contracts.batch import CandidateBatch, Column
from contracts.features import TAGS_PER_VIDEO, VIEWER_COLUMNS
from contracts.user_record import VALUES
from operators.features.protocol import Feature, Records, Round

_HOUR_MS: Final = 3_600_000
_SPEC: Final = {spec.name: spec for spec in VIEWER_COLUMNS}


def fold(records: Records, rounds: Round) -> None:
    """Add the event's weight to what it is about."""
    events = rounds.events
    arrival = _decay(records, events["ts_ms"], rounds.settings.affinity_half_life_h * _HOUR_MS)
    weight = rounds.weight * arrival
    _bump(records, "category", events["category"], weight)
    _bump(records, "creator", events["creator"], weight)
    _bump(records, "language", events["language"].astype(np.uint32), weight)
    for i in range(TAGS_PER_VIDEO):
        _bump(records, "tag", events["tags"][:, i], weight)
    hours = (events["ts_ms"] // _HOUR_MS % 24).astype(np.intp)
    at = np.arange(len(records))
    records["affinity"][at, VALUES["hour"].start + hours] += arrival


def _decay(records: Records, ts_ms: NDArray[np.int64], half_life_ms: float) -> NDArray[np.float32]:
    """Bring the records forward to the events' time; (m,) factor for events that are older."""
    behind_ms = (ts_ms - records["affinity_ms"]).astype(np.float64)
    factor = np.exp2(-np.abs(behind_ms) / half_life_ms).astype(np.float32)
    newer = behind_ms > 0
    records["affinity"] *= np.where(newer, factor, np.float32(1))[:, None]
    records["affinity_ms"] = np.maximum(records["affinity_ms"], ts_ms)
    return np.where(newer, np.float32(1), factor)


def _bump(
    records: Records, table: str, key: NDArray[np.uint32], weight: NDArray[np.float32]
) -> None:
    """Add to a key of a bounded table; a new key replaces the weakest, whose value is lost."""
    rows = np.flatnonzero((key != 0) & (weight != 0))
    if not len(rows):
        return
    keys, values = records[f"{table}_key"], records["affinity"][:, VALUES[table]]
    match = keys[rows] == key[rows, None]
    hit = match.any(axis=1)
    slot = np.where(hit, match.argmax(axis=1), np.abs(values[rows]).argmin(axis=1))
    before = np.where(hit, values[rows, slot], np.float32(0))
    keys[rows, slot] = key[rows]
    values[rows, slot] = before + weight[rows]


def table(state: Any, name: str) -> tuple[NDArray[np.uint32], NDArray[np.float32]]:
    """(keys, values) of one table of one record, strongest first, free slots left out."""
    keys, values = state[f"{name}_key"], state["affinity"][VALUES[name]]
    order = np.argsort(-np.abs(values), kind="stable")
    order = order[keys[order] != 0]
    return keys[order], values[order]


def lookup(state: Any, name: str, wanted: NDArray[np.integer[Any]]) -> NDArray[np.float32]:
    """Value of each wanted key in a table of one record, 0 where it is not there; any shape."""
    keys, values = state[f"{name}_key"], state["affinity"][VALUES[name]]
    order = np.argsort(keys)
    at = np.minimum(np.searchsorted(keys[order], wanted), len(keys) - 1)
    found = (keys[order][at] == wanted) & (wanted != 0)
    return np.where(found, values[order][at], np.float32(0)).astype(np.float32)


def _reader(name: str, column: str) -> Feature:
    def read(state: Any, batch: CandidateBatch, now_ms: int, language: int) -> Column:
        values = lookup(state, name, batch[column])
        return values.mean(axis=1) if values.ndim == 2 else values

    return Feature(_SPEC[f"affinity_{column}"], read)


def _hour_habit(state: Any, batch: CandidateBatch, now_ms: int, language: int) -> Column:
    hours = state["affinity"][VALUES["hour"]]
    total = float(hours.sum())
    share = hours[now_ms // _HOUR_MS % 24] / total if total > 0 else 0.0
    return np.asarray(share, np.float32)


FEATURES: Final = (
    _reader("category", "category"),
    _reader("creator", "creator"),
    _reader("language", "language"),
    _reader("tag", "tags"),
    Feature(_SPEC["hour_habit"], _hour_habit),
)
