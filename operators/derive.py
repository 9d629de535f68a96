"""A user's tower state derived from the stored history: for another bundle, or another layout."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from contracts.errors import ConfigError
from contracts.events import Action
from contracts.ids import hash64
from contracts.models import Bundle, StepInputs
from contracts.user_record import HISTORY, LAYOUT, UNKNOWN_SHARE, new_users
from operators.features.protocol import Records
from operators.user_fold import VideoFacts


def from_blobs(blobs: list[bytes | None], dtype: np.dtype[Any]) -> Records:
    """(n,) records; None is a new user, and so is what is too short to be a state.

    The tower's part of a blob of another size is left zero, and its `bundle` 0, so that `derive`
    sees that it is not this bundle's.

    Raises:
        ConfigError: a blob of a layout that this release cannot read, and must not overwrite.
    """
    records = new_users(len(blobs), dtype)
    same = [i for i, blob in enumerate(blobs) if blob is not None and len(blob) == dtype.itemsize]
    if same:
        joined = b"".join(blobs[i] for i in same)  # type: ignore[misc]
        records[same] = np.frombuffer(joined, dtype)
    head = dtype.fields["hidden"][1] if dtype.fields else 0
    for i, blob in enumerate(blobs):
        if blob is not None and len(blob) != dtype.itemsize and len(blob) >= head:
            raw = bytearray(records[i : i + 1].tobytes())
            raw[:head] = blob[:head]
            records[i] = np.frombuffer(bytes(raw), dtype)[0]
            records["bundle"][i] = 0
    if len(other := np.unique(records["layout"][records["layout"] != LAYOUT])):
        raise ConfigError(
            f"user state of layout {other.tolist()}, this release reads {LAYOUT}: run the release "
            "that wrote it, or delete those keys to fold them again from the log"
        )
    return records


def derive(records: Records, bundle: Bundle, videos: VideoFacts) -> int:
    """Give every record of another bundle this bundle's state and vector, in place; how many.

    New users take the tower's initial state. A history is replayed in its order of arrival; what
    lies further back than `HISTORY` events is lost to the new bundle.
    """
    mark = hash64(bundle.id)
    rows = np.flatnonzero(records["bundle"] != mark)
    if not len(rows):
        return 0
    part = records[rows]
    state = bundle.users.init(np.zeros((len(part), bundle.users.dim), np.float32))
    longest = int(np.minimum(part["hist_n"], HISTORY).max())
    for back in range(longest, 0, -1):
        state = _replay(part, state, back, bundle, videos)
    part["hidden"], part["vector"] = state, bundle.users.read_out(state)
    part["bundle"] = mark
    records[rows] = part
    return len(rows)


def _replay(
    part: Records, state: NDArray[np.float32], back: int, bundle: Bundle, videos: VideoFacts
) -> NDArray[np.float32]:
    """One step for those whose history reaches `back` events back."""
    some = np.flatnonzero(np.minimum(part["hist_n"], HISTORY) >= back)
    slot = (part["hist_n"][some].astype(np.int64) - back) % HISTORY
    before = (slot - 1) % HISTORY
    at_s = part["hist_s"][some, slot].astype(np.int64)
    first = part["hist_n"][some] == back
    gap = np.where(first, 0, np.maximum(at_s - part["hist_s"][some, before], 0))
    share = part["hist_share"][some, slot]
    rows = videos.rows_of(np.ascontiguousarray(part["hist_video"][some, slot]))
    items = np.zeros((len(some), bundle.users.dim), np.float32)
    known = rows >= 0
    items[known] = videos.vectors(rows[known])
    shares = np.where(share == UNKNOWN_SHARE, np.nan, share / 100).astype(np.float32)
    actions = part["hist_action"][some, slot]
    stepped = bundle.users.step(
        state[some], StepInputs(items, actions, shares, gap.astype(np.float32))
    )
    out = state.copy()
    out[some] = np.where((actions == Action.SCROLL)[:, None], state[some], stepped)
    return out
