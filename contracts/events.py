"""The `events` topic: what viewers do. JSON on the wire, one struct per message.

The published JSON Schema is generated from these types (see `contracts.schemas`).
"""

from enum import IntEnum
from typing import Annotated, Final, Literal

import msgspec

from contracts.errors import BadMessageError
from contracts.units import DAY_MS

MAX_EVENT_BYTES: Final = 65_536
MAX_TIMESTAMP_MS: Final = 253_402_300_799_999  # the end of the year 9999
SECONDS_BELOW: Final = 100_000_000_000  # a smaller timestamp is in seconds: 10^11 ms is March 1973

MAX_ID: Final = 256  # characters

Id = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_ID)]
Timestamp = Annotated[
    int,
    msgspec.Meta(
        ge=1,
        le=MAX_TIMESTAMP_MS,
        description="Milliseconds since 1970 UTC; below 10^11 it is taken as seconds.",
    ),
]
DurationMs = Annotated[int, msgspec.Meta(ge=0, le=7 * DAY_MS)]

EventType = Literal[
    "click", "watch", "watch_25_percent", "watch_50_percent", "watch_75_percent", "watch_complete",
    "like", "unlike", "share", "comment", "follow", "unfollow", "skip", "not_interested", "rate",
    "search", "hover", "scroll",
]  # fmt: skip


class Action(IntEnum):
    """What an event means to the fold. Stored in history: numbers never change meaning."""

    NONE = 0
    CLICK = 1
    WATCH = 2
    LIKE = 3
    UNLIKE = 4
    SHARE = 5
    COMMENT = 6
    FOLLOW = 7
    UNFOLLOW = 8
    SKIP = 9
    NOT_INTERESTED = 10
    RATE = 11
    SEARCH = 12
    HOVER = 13
    SCROLL = 14


WATCH_SHARE: Final = {
    "watch_25_percent": 0.25,
    "watch_50_percent": 0.5,
    "watch_75_percent": 0.75,
    "watch_complete": 1.0,
}
ACTION_OF: Final[dict[str, int]] = {a.name.lower(): int(a) for a in Action if a} | {
    name: int(Action.WATCH) for name in WATCH_SHARE
}
# Types that say something about a video and therefore have to name one.
ABOUT_A_VIDEO: Final = frozenset(ACTION_OF) - {"search", "scroll", "follow", "unfollow"}


class Context(msgspec.Struct, gc=False, frozen=True, omit_defaults=True):
    """Where and on what the viewer was."""

    connection: Annotated[str, msgspec.Meta(max_length=64)] | None = None
    device: Annotated[str, msgspec.Meta(max_length=64)] | None = None
    country: Annotated[str, msgspec.Meta(max_length=64)] | None = None
    language: Annotated[str, msgspec.Meta(max_length=64)] | None = None
    surface: (
        Annotated[
            str,
            msgspec.Meta(max_length=64, description="Where it was shown, as in the feed's query."),
        ]
        | None
    ) = None


class Event(msgspec.Struct, gc=False, frozen=True, omit_defaults=True):
    """One thing that a viewer did. Unknown fields are ignored; an unknown `event_type` is refused."""

    event_id: Id
    user_id: Id
    event_type: EventType
    timestamp: Timestamp
    video_id: Annotated[
        Id | None, msgspec.Meta(description="Required unless search, scroll, follow or unfollow.")
    ] = None
    watch_ms: DurationMs | None = None
    duration_ms: DurationMs | None = None
    rating: Annotated[float, msgspec.Meta(ge=0, le=5)] | None = None
    query: Annotated[str, msgspec.Meta(max_length=1024)] | None = None
    creator_id: Id | None = None
    tracking_token: Annotated[str, msgspec.Meta(max_length=1024)] | None = None
    context: Context | None = None


_decoder = msgspec.json.Decoder(Event)
_encoder = msgspec.json.Encoder()


def problem_of(event: Event) -> str | None:
    """Why a well-formed event still cannot be used, or None."""
    if event.video_id is None and event.event_type in ABOUT_A_VIDEO:
        return f"video_id is required for event_type {event.event_type!r}"
    if event.event_type == "search" and not event.query:
        return "query is required for event_type 'search'"
    if event.event_type in ("follow", "unfollow") and not (event.creator_id or event.video_id):
        return f"creator_id or video_id is required for event_type {event.event_type!r}"
    return None


def decode_event(payload: bytes) -> Event:
    """One event from its JSON.

    Raises:
        BadMessageError: with the reason; nothing else, whatever the bytes are.
    """
    if len(payload) > MAX_EVENT_BYTES:
        raise BadMessageError(f"event of {len(payload)} bytes, at most {MAX_EVENT_BYTES} are taken")
    try:
        event = _decoder.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as e:
        raise BadMessageError(f"not an event: {e}") from None
    if problem := problem_of(event):
        raise BadMessageError(f"not an event: {problem}")
    return event


def encode_event(event: Event) -> bytes:
    """JSON bytes that `decode_event` turns back into an equal event."""
    return _encoder.encode(event)


def id_of_key(key: bytes | None, what: str) -> str:
    """The id that a null value is about: its message's key.

    Raises:
        BadMessageError: there is no key, or it is no id.
    """
    try:
        found = (key or b"").decode()
    except UnicodeDecodeError:
        raise BadMessageError(f"a null {what} needs its id as the key; this is not UTF-8") from None
    if not 0 < len(found) <= MAX_ID:
        raise BadMessageError(
            f"a null {what} needs its id as the key; this has {len(found)} characters"
        )
    return found


def to_ms(timestamp: int) -> int:
    """Milliseconds of a wire timestamp, which may be in seconds.

    >>> to_ms(1_672_531_200), to_ms(1_672_531_200_000)
    (1672531200000, 1672531200000)
    """
    return timestamp * 1000 if timestamp < SECONDS_BELOW else timestamp
