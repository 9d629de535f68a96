"""The user's state: one fixed-layout numpy record, so that a batch of users is one array.

The dtype is the whole format: what Redis holds is its bytes, packed (`operators.blobs`), and
`np.frombuffer` of many joined is a table. `BUDGET` says what each part may cost; a test adds it up.
A change of any field is a new `LAYOUT`, with a conversion on read.

What is open-ended is bounded, with these errors:
- affinities keep the strongest keys; a new key replaces the weakest, whose mass is lost;
- `watched` and `shown` are Bloom filters of two generations: a false positive hides a video that
  was never shown (about 1 % when a generation is full, see `operators.features.seen`);
- creators, categories and tags are 32-bit hashes: two of a million collide for one person in 10^4.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

LAYOUT: Final = 1

OFFSET_SLOTS: Final = 6
CATEGORIES: Final = 16
CREATORS: Final = 24
LANGUAGES: Final = 4
TAGS: Final = 24
HISTORY: Final = 48
EVENT_IDS: Final = 64
WATCHED_BYTES: Final = 256
SHOWN_BYTES: Final = 192
FOLLOWS: Final = 48
BLOCKS: Final = 64
REFUSED: Final = 24
SEARCHES: Final = 4
SEARCH_BYTES: Final = 48
INTERESTS: Final = 16
UNKNOWN_AGE: Final = 255
UNKNOWN_SHARE: Final = 255  # of `hist_share`: the event said nothing about how much was watched

# The first 8 bytes are compared by the compare-and-set script: layout, form, version.
VERSION_AT: Final = (4, 8)

HEAD: Final = [
    ("layout", "<u2"),
    ("form", "<u2"),  # of a blob: see operators.blobs; 0 in memory
    ("version", "<u4"),
    ("bundle", "<i8"),  # hash64 of the bundle's id that `hidden` and `vector` belong to
    ("forgotten_ms", "<i8"),  # events at or before it are skipped
    ("slot_key", "<i8", OFFSET_SLOTS),  # see operators.offsets; 0 = free
    ("slot_offset", "<i8", OFFSET_SLOTS),
    ("newest_ms", "<i8"),  # the producer's time of the newest event folded
    ("folded_ms", "<i8"),  # our clock when that event was folded
]
PROFILE: Final = [
    ("country", "<u2"),
    ("language", "<u2"),
    ("age", "u1"),
    ("device", "<u4"),
    ("subscription", "<u4"),
    ("interests", "<u4", INTERESTS),
    ("created_ms", "<i8"),
]
SESSION: Final = [
    ("session_start_ms", "<i8"),
    ("session_last_ms", "<i8"),
    ("session_until_ms", "<i8"),  # without another event the session is over then
    ("session_events", "<u4"),
    ("session_watch_ms", "<u4"),
    ("sessions", "<u4"),
]
STATISTICS: Final = [
    ("events", "<u4"),
    ("watches", "<u4"),
    ("shares", "<u4"),  # watches whose watched share is known
    ("share_sum", "<f4"),
    ("watch_ms_sum", "<f8"),
    ("clicks", "<u4"),
    ("completes", "<u4"),
    ("likes", "<u4"),
    ("skips", "<u4"),
]
AFFINITIES: Final = [
    ("affinity_ms", "<i8"),  # the time that all decayed values below belong to
    ("category_key", "<u4", CATEGORIES),
    ("creator_key", "<u4", CREATORS),
    ("language_key", "<u4", LANGUAGES),
    ("tag_key", "<u4", TAGS),
    ("affinity", "<f4", CATEGORIES + CREATORS + LANGUAGES + TAGS + 24),  # see VALUES
]
# Every decayed value lies in one field, so that decay is one product: table -> its slice.
VALUES: Final = {
    "category": slice(0, CATEGORIES),
    "creator": slice(CATEGORIES, CATEGORIES + CREATORS),
    "language": slice(CATEGORIES + CREATORS, CATEGORIES + CREATORS + LANGUAGES),
    "tag": slice(CATEGORIES + CREATORS + LANGUAGES, CATEGORIES + CREATORS + LANGUAGES + TAGS),
    "hour": slice(CATEGORIES + CREATORS + LANGUAGES + TAGS, None),  # 24 UTC hours
}
MEMORY: Final = [
    ("hist_n", "<u4"),  # ever written; slot of the next one is hist_n % HISTORY
    ("hist_video", "<i8", HISTORY),
    ("hist_s", "<u4", HISTORY),  # event time in seconds
    ("hist_action", "u1", HISTORY),
    ("hist_share", "u1", HISTORY),  # watched share in hundredths, at most 250; 255 unknown
    ("ids_n", "<u4"),
    ("event_ids", "<u4", EVENT_IDS),
    ("watched_n", "<u2", 2),
    ("watched", "u1", (2, WATCHED_BYTES)),  # [0] is being filled, [1] is the generation before
    ("shown_since_ms", "<i8"),
    ("shown_n", "<u2", 2),
    ("shown", "u1", (2, SHOWN_BYTES)),
    ("follows_n", "<u4"),
    ("follows", "<u4", FOLLOWS),
    ("blocks", "<u4", BLOCKS),
    ("refused_n", "<u4"),
    ("refused", "<u4", REFUSED),  # videos that the person is not interested in
    ("search_n", "<u4"),
    ("search_ms", "<i8", SEARCHES),
    ("search", f"S{SEARCH_BYTES}", SEARCHES),
]

# Bytes a part may cost. Together with a 64-d tower they stay below 4 KB a person.
BUDGET: Final = {
    "HEAD": 144, "PROFILE": 88, "SESSION": 40, "STATISTICS": 48, "AFFINITIES": 700, "MEMORY": 2660,
}  # fmt: skip


def user_dtype(hidden: int, dim: int) -> np.dtype[Any]:
    """The record for a tower with `hidden` float32 of state and a (dim,) vector."""
    tower = [("hidden", "<f4", hidden), ("vector", "<f2", dim)]
    return np.dtype([*HEAD, *PROFILE, *SESSION, *STATISTICS, *AFFINITIES, *MEMORY, *tower])


def new_profiles(n: int) -> NDArray[Any]:
    """(n,) of `PROFILE` of people who told us nothing."""
    profiles = np.zeros(n, PROFILE)
    profiles["age"] = UNKNOWN_AGE
    return profiles


def new_users(n: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    """(n,) empty records."""
    records = np.zeros(n, dtype)
    records["layout"] = LAYOUT
    records["age"] = UNKNOWN_AGE
    return records
