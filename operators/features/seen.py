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

from contracts.batch import Ids, Mask, Rows
from contracts.events import Action
from contracts.user_record import SHOWN_BYTES, WATCHED_BYTES
from operators.features.protocol import LiveEvents, Records
from operators.kernel import kernel

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
    users, aged = np.ascontiguousarray(rows["user"]), np.zeros(len(rows), np.uint8)
    _add(records["watched"], records["watched_n"], users, aged, at, mask, WATCHED_CAPACITY)


@kernel
def _add(
    filters: NDArray[np.uint8],
    counts: NDArray[np.uint16],
    users: Rows,
    aged: NDArray[np.uint8],
    at: NDArray[np.intp],
    mask: NDArray[np.uint8],
    capacity: int,
) -> None:
    """Put id i into filter `users[i]`.

    A generation that is full, or has aged (`aged[i]` of them), becomes the one before first.
    """
    for i, u in enumerate(users):
        for _ in range(max(aged[i], counts[u, 0] >= capacity)):
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
    aged = _aged(records["shown_since_ms"], users, at_ms, int(shown_for_h * _HOUR_MS))
    at, mask = _probes(np.ascontiguousarray(ids), SHOWN_BYTES * 8)
    _add(records["shown"], records["shown_n"], users, aged, at, mask, SHOWN_CAPACITY)


@kernel
def _aged(
    since_ms: NDArray[np.int64], users: Rows, at_ms: NDArray[np.int64], span_ms: int
) -> NDArray[np.uint8]:
    """(n,) generations to put away before each; `since_ms` of the one being filled moves on."""
    aged = np.zeros(len(users), np.uint8)
    for i, u in enumerate(users):
        if at_ms[i] - since_ms[u] > span_ms:
            # After two such spans nothing of the generation being filled is recent either.
            aged[i] = 2 if at_ms[i] - since_ms[u] > 2 * span_ms else 1
            since_ms[u] = at_ms[i]
    return aged


def seen(state: Any, ids: Ids, now_ms: int, shown_for_h: float) -> Mask:
    """(n,) whether the person watched each video, or was shown it within the last hours."""
    ids = np.ascontiguousarray(ids)
    found = _held(state["watched"], ids)
    age_h = (now_ms - int(state["shown_since_ms"])) / _HOUR_MS
    if age_h > 2 * shown_for_h:
        return found
    if age_h > shown_for_h:
        return found | _held(state["shown"][:1], ids)
    return found | _held(state["shown"], ids)
