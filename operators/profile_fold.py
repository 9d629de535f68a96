"""What a person told us, and the wish to be forgotten."""

from typing import Any

import numpy as np

from contracts.events import to_ms
from contracts.ids import hash32, pack_country, pack_language
from contracts.models import Bundle
from contracts.profiles import Profile
from contracts.user_record import BLOCKS, INTERESTS, UNKNOWN_AGE, new_users
from operators.features.protocol import Records

KEPT_WHEN_FORGOTTEN = ("version", "slot_key", "slot_offset")


def fold_profile(record: Any, profile: Profile, bundle: Bundle) -> None:
    """Take over a profile into one record (np.void), in place; it replaces the one before.

    It moves the tower only of a person who has not done anything yet.
    """
    tell(record, profile)
    record["blocks"] = _padded([hash32(x) for x in profile.blocked_creators], BLOCKS)
    if record["events"] == 0:
        taste = np.zeros((1, bundle.users.dim), np.float32)
        if profile.interests:
            taste = bundle.items.embed_texts([" ".join(profile.interests)])
        record["hidden"] = bundle.users.init(record[None], taste)[0]
        record["vector"] = bundle.users.read_out(record["hidden"][None])[0]


def tell(record: Any, profile: Profile) -> None:
    """Write the profile's fields, whatever the record is a table of besides."""
    record["country"] = pack_country(profile.country)
    record["language"] = pack_language(profile.language)
    record["age"] = UNKNOWN_AGE if profile.age is None else min(profile.age, UNKNOWN_AGE - 1)
    record["device"] = hash32(profile.device) if profile.device else 0
    record["subscription"] = hash32(profile.subscription) if profile.subscription else 0
    record["interests"] = _padded([hash32(x) for x in profile.interests], INTERESTS)
    record["created_ms"] = to_ms(profile.created_at or 0)


def forget(records: Records, row: int, at_ms: int) -> None:
    """Leave a stub: offsets, and the time up to which events of this person are skipped."""
    stub = new_users(1, records.dtype)
    for name in KEPT_WHEN_FORGOTTEN:
        stub[name] = records[name][row]
    stub["forgotten_ms"] = max(int(records["forgotten_ms"][row]), at_ms)
    records[row] = stub[0]


def _padded(hashes: list[int], size: int) -> "np.ndarray[Any, np.dtype[np.uint32]]":
    out = np.zeros(size, np.uint32)
    out[: min(len(hashes), size)] = hashes[:size]
    return out
