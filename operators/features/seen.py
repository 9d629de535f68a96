"""What a person watched (not again) and was shown (not for some hours): Bloom filters.

Each has two generations; a full one, or for `shown` one of a certain age, becomes the one before.
With 4 probes, 200 videos in 2048 bits (150 in 1536) give a false positive rate of
(1 - e^(-4 n / bits))^4 = 1.1 % a full generation: Broder and Mitzenmacher, "Network Applications of
Bloom Filters", 2004. A false positive hides a video that was never shown.

The other error: what lies further back than the last 200 to 400 watched videos (150 to 300 shown) is
forgotten, and may be recommended again.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from contracts.batch import Ids, Mask
from contracts.events import Action
from operators.features.protocol import Records, Round

PROBES: Final = 4
WATCHED_CAPACITY: Final = 200
SHOWN_CAPACITY: Final = 150
_HOUR_MS: Final = 3_600_000
_SEES: Final = np.zeros(len(Action), np.bool_)
for _action in (
    Action.CLICK, Action.WATCH, Action.LIKE, Action.SHARE, Action.COMMENT, Action.SKIP,
    Action.NOT_INTERESTED, Action.RATE,
):  # fmt: skip
    _SEES[_action] = True


def _probes(ids: Ids, bits: int) -> tuple[NDArray[np.intp], NDArray[np.uint8]]:
    """(n, PROBES) byte numbers and bit masks, by double hashing of the two halves of the id."""
    u = ids.view(np.uint64)
    low, high = u & np.uint64(0xFFFF_FFFF), u >> np.uint64(32)
    step = np.arange(PROBES, dtype=np.uint64)
    bit = (low[:, None] + step * (high[:, None] | np.uint64(1))) % np.uint64(bits)
    return (bit >> np.uint64(3)).astype(np.intp), (1 << (bit & np.uint64(7))).astype(np.uint8)


def _contains(generation: NDArray[np.uint8], ids: Ids) -> Mask:
    """(n,) whether each id is in a (bytes,) filter, or in row i of an (n, bytes) one."""
    at, mask = _probes(ids, generation.shape[-1] * 8)
    if generation.ndim == 1:
        found = generation[at] & mask
    else:
        found = generation[np.arange(len(ids))[:, None], at] & mask
    return np.asarray((found != 0).all(axis=1))


def _add(records: Records, field: str, rows: NDArray[np.intp], ids: Ids, capacity: int) -> None:
    """Put one id into each record's filter; a full generation becomes the one before first."""
    full = rows[records[f"{field}_n"][rows, 0] >= capacity]
    _rotate(records, field, full)
    fresh = ~_contains(records[field][rows, 0], ids)
    at, mask = _probes(ids, records[field].shape[-1] * 8)
    for probe in range(PROBES):  # one after the other: two probes may share a byte
        records[field][rows, 0, at[:, probe]] |= mask[:, probe]
    records[f"{field}_n"][rows, 0] += fresh


def _rotate(records: Records, field: str, rows: NDArray[np.intp]) -> None:
    if not len(rows):
        return
    for name in (field, f"{field}_n"):
        records[name][rows, 1] = records[name][rows, 0]
        records[name][rows, 0] = 0


def fold(records: Records, rounds: Round) -> None:
    """Remember what was watched, skipped or refused."""
    events = rounds.events
    rows = np.flatnonzero(_SEES[events["action"]] & (events["video"] != 0))
    _add(records, "watched", rows, np.ascontiguousarray(events["video"][rows]), WATCHED_CAPACITY)


def fold_shown(records: Records, ids: Ids, at_ms: NDArray[np.int64], shown_for_h: float) -> None:
    """Remember one shown video a record (row i of each); in place."""
    rows = np.arange(len(records))
    old = at_ms - records["shown_since_ms"] > shown_for_h * _HOUR_MS
    # After two such spans nothing of the generation being filled is recent either.
    older = at_ms - records["shown_since_ms"] > 2 * shown_for_h * _HOUR_MS
    _rotate(records, "shown", rows[old])
    _rotate(records, "shown", rows[older])
    records["shown_since_ms"] = np.where(old, at_ms, records["shown_since_ms"])
    _add(records, "shown", rows, ids, SHOWN_CAPACITY)


def seen(state: Any, ids: Ids, now_ms: int, shown_for_h: float) -> Mask:
    """(n,) whether the person watched each video, or was shown it within the last hours."""
    ids = np.ascontiguousarray(ids)
    watched = _contains(state["watched"][0], ids) | _contains(state["watched"][1], ids)
    age_h = (now_ms - int(state["shown_since_ms"])) / _HOUR_MS
    if age_h > 2 * shown_for_h:
        return watched
    shown = _contains(state["shown"][0], ids)
    if age_h <= shown_for_h:
        shown |= _contains(state["shown"][1], ids)
    return watched | shown
