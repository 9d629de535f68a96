"""A user's tower state derived from the stored profile and history: for another bundle, or a new user."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from contracts.events import Action
from contracts.ids import hash64
from contracts.models import MOMENT, Bundle, StepInputs
from contracts.user_record import HISTORY, UNKNOWN_SHARE
from operators.features.protocol import Records
from operators.rounds import rounds
from operators.user_fold import VideoFacts


def derive(records: Records, bundle: Bundle, videos: VideoFacts) -> int:
    """Give every record of another bundle this bundle's state and vector, in place; how many.

    New users take the tower's initial state, of what the record knows of a profile. A history is
    replayed in its order of arrival; what lies further back than `HISTORY` events is lost to the new
    bundle, and of an event's context all but the time: the person's own stands in for it.
    """
    mark = hash64(bundle.id)
    rows = np.flatnonzero(records["bundle"] != mark)
    if not len(rows):
        return 0
    part = records[rows]
    state = _replayed(part, bundle, videos)
    records["hidden"][rows], records["vector"][rows] = state, bundle.users.read_out(state)
    records["bundle"][rows] = mark
    return len(rows)


def _replayed(part: Records, bundle: Bundle, videos: VideoFacts) -> NDArray[np.float32]:
    """(n, hidden) states of n records after their histories, oldest event first."""
    state = bundle.users.init(part, _interests(part, bundle, videos))
    kept = np.minimum(part["hist_n"], HISTORY).astype(np.intp)
    person = np.repeat(np.arange(len(part)), kept)
    nth = np.arange(len(person)) - np.repeat(np.cumsum(kept) - kept, kept)
    slot = ((part["hist_n"] - kept)[person] + nth) % HISTORY
    at_s = part["hist_s"][person, slot].astype(np.int64)
    gaps = np.maximum(np.diff(at_s, prepend=0), 0)
    gaps[nth == 0] = 0
    share = part["hist_share"][person, slot]
    shares = np.where(share == UNKNOWN_SHARE, np.nan, share / 100).astype(np.float32)
    actions = part["hist_action"][person, slot]
    heard = np.flatnonzero(actions != Action.SCROLL)
    plan = rounds(person[heard])
    order = heard[plan.order]
    items = _vectors(part["hist_video"][person, slot][order], bundle.users.dim, videos)
    moments = _moments(part[person[order]], at_s[order]) if bundle.users.context else None
    inputs = StepInputs(
        items, actions[order], shares[order], gaps[order].astype(np.float32), moments
    )
    state[plan.users] = bundle.users.steps(state[plan.users], inputs, plan.starts)
    return state


def _interests(part: Records, bundle: Bundle, videos: VideoFacts) -> NDArray[np.float32]:
    """(n, d) of the interests whose names the catalog knows; a record keeps their hashes alone."""
    taste = np.zeros((len(part), bundle.users.dim), np.float32)
    told = np.flatnonzero(part["interests"].any(axis=1))
    if len(told):
        named = [map(videos.name_of, hashes) for hashes in part["interests"][told].tolist()]
        taste[told] = bundle.items.embed_texts([" ".join(filter(None, some)) for some in named])
    return taste


def _moments(owners: Records, at_s: NDArray[np.int64]) -> NDArray[Any]:
    """(n,) moments of events of which only the time and the person are known."""
    moments = np.zeros(len(owners), MOMENT)
    moments["ts_ms"] = at_s * 1000
    for field, own in (("country", "country"), ("spoken", "language"), ("device", "device")):
        moments[field] = owners[own]
    return moments


def _vectors(ids: NDArray[np.int64], dim: int, videos: VideoFacts) -> NDArray[np.float32]:
    """(n, d), zero where the catalog has none."""
    rows = videos.rows_of(np.ascontiguousarray(ids))
    items = np.zeros((len(ids), dim), np.float32)
    items[rows >= 0] = videos.vectors(rows[rows >= 0])
    return items
