"""A micro-batch of events as one structured array, and the messages that could not become a row."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from contracts.errors import BadMessageError
from contracts.events import (
    ABOUT_A_VIDEO,
    ACTION_OF,
    MAX_EVENT_BYTES,
    SECONDS_BELOW,
    WATCH_SHARE,
    Context,
    Event,
    decode_event,
)
from contracts.features import TAGS_PER_VIDEO
from contracts.ids import (
    fold32_array,
    hash32,
    hash64_many,
    pack_country,
    pack_language,
    pack_name,
)

EVENT: Final = np.dtype(
    [
        ("user", np.intp),  # index into EventColumns.users
        ("slot_key", np.int64),
        ("offset", np.int64),
        ("event_id", np.uint32),
        ("action", np.uint8),
        ("ts_ms", np.int64),
        ("broker_ms", np.int64),
        ("video", np.int64),  # 0 none
        ("watch_ms", np.int32),  # -1 unknown
        (
            "share",
            np.float32,
        ),  # watched share of the video, of a rating its share of 5; NaN unknown
        ("creator", np.uint32),  # the event's own, else the catalog's
        ("country", np.uint16),
        ("spoken", np.uint16),  # language of the context
        ("device", np.uint32),
        ("connection", np.uint32),
        ("surface", np.uint32),
        # from the catalog; 0 where the video is not known (yet)
        ("category", np.uint32),
        ("language", np.uint16),
        ("tags", np.uint32, TAGS_PER_VIDEO),
    ]
)
MOST_STARS: Final = 5.0
LONGEST_SHARE: Final = 2.5  # loops count, but not without end


@dataclass(frozen=True, slots=True, eq=False)
class RawMessages:
    """Messages of one topic as they came, in offset order within each partition.

    Attributes:
        slot_keys: (n,) int64, `operators.offsets.slot_key` of each message's partition.
        offsets: (n,) int64.
        broker_ms: (n,) int64 timestamps of the messages.
    """

    values: Sequence[bytes | None]
    keys: Sequence[bytes | None]
    slot_keys: NDArray[np.int64]
    offsets: NDArray[np.int64]
    broker_ms: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.values)

    def take(self, rows: Sequence[int]) -> "RawMessages":
        """The messages at `rows`."""
        at = np.asarray(rows, np.intp)
        values, keys = [self.values[i] for i in rows], [self.keys[i] for i in rows]
        return RawMessages(values, keys, self.slot_keys[at], self.offsets[at], self.broker_ms[at])


@dataclass(frozen=True, slots=True, eq=False)
class EventColumns:
    """n events as columns.

    Attributes:
        rows: (n,) of `EVENT`, in the order of arrival.
        users: the users' ids; `rows["user"]` points into it.
        queries: row -> text of a search.
    """

    rows: NDArray[Any]
    users: Sequence[str]
    queries: dict[int, str]

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True, slots=True)
class Bad:
    """Row `index` of the raw messages could not be used."""

    index: int
    reason: str


_decode = msgspec.json.Decoder(Event).decode
_NO_CONTEXT = Context()
_CONTEXT: Final = np.dtype(
    [(name, EVENT[name]) for name in ("country", "spoken", "device", "connection", "surface")]
)


def decode_events(raw: RawMessages, tolerance_ms: int) -> tuple[EventColumns, list[Bad]]:
    """Columns of the messages that are events, and the rest with reasons.

    A timestamp in seconds becomes milliseconds; one later than the broker's by more than
    `tolerance_ms` is taken as the broker's.
    """
    events, bad = _decode_all(raw.values)
    if bad:
        wrong = {b.index for b in bad}
        raw = raw.take([i for i in range(len(raw)) if i not in wrong])
    return columns_of(events, raw, tolerance_ms), bad


def _decode_all(values: Sequence[bytes | None]) -> tuple[list[Event], list[Bad]]:
    try:  # nearly every batch is clean: no call of ours per event
        events = [_decode(value) for value in values]  # type: ignore[arg-type]
        if max(map(len, values), default=0) <= MAX_EVENT_BYTES and not any(  # type: ignore[arg-type]
            (e.video_id is None and e.event_type in ABOUT_A_VIDEO)
            or e.event_type in ("search", "follow", "unfollow")
            for e in events
        ):
            return events, []
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, TypeError):
        pass
    events, bad = [], []
    for index, value in enumerate(values):
        try:
            if value is None:
                raise BadMessageError("not an event: a null value")
            events.append(decode_event(value))
        except BadMessageError as e:
            bad.append(Bad(index, str(e)))
    return events, bad


def columns_of(events: Sequence[Event], raw: RawMessages, tolerance_ms: int) -> EventColumns:
    """Columns of events whose places and times in the log are those of `raw`, row by row."""
    rows = np.zeros(len(events), EVENT)
    users: dict[str, int] = {}
    rows["user"] = [users.setdefault(e.user_id, len(users)) for e in events]
    rows["slot_key"], rows["offset"], rows["broker_ms"] = (
        raw.slot_keys,
        raw.offsets,
        raw.broker_ms,
    )
    rows["event_id"] = fold32_array(hash64_many([e.event_id for e in events]))
    rows["action"] = [ACTION_OF[e.event_type] for e in events]
    rows["ts_ms"] = _event_time([e.timestamp for e in events], raw.broker_ms, tolerance_ms)
    videos = hash64_many([e.video_id or "" for e in events])
    rows["video"] = np.where([e.video_id is None for e in events], 0, videos)
    rows["watch_ms"] = [-1 if e.watch_ms is None else e.watch_ms for e in events]
    rows["share"] = [_share(e) for e in events]
    rows["creator"] = [hash32(e.creator_id) if e.creator_id else 0 for e in events]
    _tell_context(rows, events)
    queries = {i: e.query for i, e in enumerate(events) if e.query and e.event_type == "search"}
    return EventColumns(rows, list(users), queries)


def _tell_context(rows: NDArray[Any], events: Sequence[Event]) -> None:
    """Fill in what the events say of their context; there are few different ones in a batch."""
    found: dict[Context | None, int] = {}
    codes = [found.setdefault(e.context, len(found)) for e in events]
    told = np.array([_told(context) for context in found], _CONTEXT)[codes]
    for name in _CONTEXT.names or ():
        rows[name] = told[name]


def _told(context: Context | None) -> tuple[int, ...]:
    c = context or _NO_CONTEXT
    return (
        pack_country(c.country), pack_language(c.language), pack_name(c.device),
        pack_name(c.connection), pack_name(c.surface),
    )  # fmt: skip


def _event_time(
    stamps: Sequence[int], broker_ms: NDArray[np.int64], tolerance_ms: int
) -> NDArray[np.int64]:
    ts = np.array(stamps, np.int64)
    ts = np.where(ts < SECONDS_BELOW, ts * 1000, ts)
    return np.where(ts > broker_ms + tolerance_ms, broker_ms, ts)


def _share(event: Event) -> float:
    """Watched share as far as the event itself says; the catalog's duration may still fill it in."""
    if (share := WATCH_SHARE.get(event.event_type)) is not None:
        return share
    if event.event_type == "rate":
        return np.nan if event.rating is None else event.rating / MOST_STARS
    if event.watch_ms is None or not event.duration_ms:
        return np.nan
    return min(event.watch_ms / event.duration_ms, LONGEST_SHARE)
