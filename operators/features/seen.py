"""What a person watched (not again) and was shown (not for some hours): Bloom filters.

Each has two generations; a full one, or for `shown` one that was filled for the span, becomes the one
before, which is dropped. With 4 probes, 200 videos in 2048 bits (150 in 1536) give a false positive
rate of (1 - e^(-4 n / bits))^4 = 1.1 % a full generation: Broder and Mitzenmacher, "Network
Applications of Bloom Filters", 2004. A false positive hides a video that was never shown.

A watched video is remembered until 200 to 400 more, a shown one at least for the span or until 150
more, and at most for twice the span and until 300 more. Then it may be recommended again.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from contracts.batch import Ids, Mask, Rows
from contracts.events import Action
from contracts.units import HOUR_MS
from contracts.user_record import SHOWN_BYTES, WATCHED_BYTES
from operators.features.protocol import LiveEvents, Records
from operators.kernel import kernel

PROBES: Final = 4
WATCHED_CAPACITY: Final = 200
SHOWN_CAPACITY: Final = 150
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


@kernel
def _held(generations: NDArray[np.uint8], ids: Ids) -> Mask:
    """(n,) whether each id is in one of the (g, bytes) filters; its bits are those of `_probes`."""
    out, bits = np.zeros(len(ids), np.bool_), np.uint64(generations.shape[1] * 8)
    for i in range(len(ids)):
        low = np.uint64(ids[i]) & np.uint64(0xFFFF_FFFF)
        step = (np.uint64(ids[i]) >> np.uint64(32)) | np.uint64(1)
        for g in range(generations.shape[0]):
            probe = 0
            while probe < PROBES:
                bit = (low + np.uint64(probe) * step) % bits
                if generations[g, bit >> np.uint64(3)] >> (bit & np.uint64(7)) & np.uint64(1) == 0:
                    break
                probe += 1
            out[i] |= probe == PROBES
    return out


def fold(records: Records, events: LiveEvents) -> None:
    """Remember what was watched, skipped or refused."""
    rows = events.rows[_SEES[events.rows["action"]] & (events.rows["video"] != 0)]
    at, mask = _probes(np.ascontiguousarray(rows["video"]), WATCHED_BYTES * 8)
    users = np.ascontiguousarray(rows["user"])
    # No clock: only a full generation is put away.
    since_ms, at_ms = np.zeros(len(records), np.int64), np.zeros(len(rows), np.int64)
    filters, counts = records["watched"], records["watched_n"]
    _add(filters, counts, since_ms, users, at_ms, 0, at, mask, WATCHED_CAPACITY)


@kernel
def _add(
    filters: NDArray[np.uint8],
    counts: NDArray[np.uint16],
    since_ms: NDArray[np.int64],
    users: Rows,
    at_ms: NDArray[np.int64],
    span_ms: int,
    at: NDArray[np.intp],
    mask: NDArray[np.uint8],
    capacity: int,
) -> None:
    """Put id i into filter `users[i]`, of which one generation is filled since `since_ms`.

    What is put away was all added by the time at which the next generation begins, so it may be
    dropped a span after that.
    """
    for i, u in enumerate(users):
        age_ms = at_ms[i] - since_ms[u]
        turns = 0
        if age_ms > 2 * span_ms:  # nothing of the generation being filled is recent either
            turns, since_ms[u] = 2, at_ms[i]
        elif age_ms > span_ms:  # as if put away in time: later, it would be held for longer
            turns, since_ms[u] = 1, since_ms[u] + span_ms
        elif counts[u, 0] >= capacity:
            turns, since_ms[u] = 1, at_ms[i]
        for _ in range(turns):
            filters[u, 1] = filters[u, 0]
            filters[u, 0] = 0
            counts[u, 1] = counts[u, 0]
            counts[u, 0] = 0
        fresh = False
        for probe in range(PROBES):
            bits = filters[u, 0, at[i, probe]]
            fresh |= bits & mask[i, probe] == 0
            filters[u, 0, at[i, probe]] = bits | mask[i, probe]
        counts[u, 0] += fresh


def fold_shown(
    records: Records, users: Rows, ids: Ids, at_ms: NDArray[np.int64], shown_for_h: float
) -> None:
    """Remember that video i was shown to `users[i]` at `at_ms[i]`, one after the other; in place."""
    at, mask = _probes(np.ascontiguousarray(ids), SHOWN_BYTES * 8)
    filters, counts, since_ms = records["shown"], records["shown_n"], records["shown_since_ms"]
    span_ms = int(shown_for_h * HOUR_MS)
    _add(filters, counts, since_ms, users, at_ms, span_ms, at, mask, SHOWN_CAPACITY)


def seen(state: Any, ids: Ids, now_ms: int, shown_for_h: float) -> Mask:
    """(n,) whether the person watched each video, or was shown it within the last hours."""
    ids = np.ascontiguousarray(ids)
    found = _held(state["watched"], ids)
    age_h = (now_ms - int(state["shown_since_ms"])) / HOUR_MS
    if age_h > 2 * shown_for_h:
        return found
    if age_h > shown_for_h:
        return found | _held(state["shown"][:1], ids)
    return found | _held(state["shown"], ids)
