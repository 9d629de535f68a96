"""The state of one source partition as fields of one Redis hash: only what has changed is written.

    m                       layout and what belongs to the filter
    v<video>                a row of `video_table.VIDEO`
    c<video> n<video>       its countries and neighbours: time, then (key, weight) for filled slots
    C<chunk> N<chunk>       what is not worked into these yet: (video, key, time), 256 a chunk
    u<user>                 the last videos of a viewer, `co_watch.VIEWER`
    f<half><page>           a page of the filter

Numbers in names are little-endian: 8 bytes an id, 4 bytes a chunk or page, 1 byte a half.
"""

import struct
from collections.abc import Iterator, Mapping
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from contracts.batch import Ids, Rows
from contracts.errors import ConfigError
from operators.co_watch import VIEWER, CoWatch
from operators.once_filter import OnceFilter
from operators.sketches import Log, Sketches, Tables
from operators.video_table import VIDEO, VideoTable

LAYOUT: Final = 1
Fields = dict[bytes, bytes]

_CHUNK: Final = 256
ANEW: Final = "delete them and their position, and they are folded again from the log"
_ID: Final = struct.Struct("<q")
_NUMBER: Final = struct.Struct("<I")
_PAGE: Final = struct.Struct("<BI")
_LOGGED: Final = np.dtype([("video", "<i8"), ("key", "<i8"), ("ts_ms", "<i8")])
_SLOT: Final = np.dtype([("key", "<i8"), ("weight", "<f8")])
SKETCHES: Final = ((b"c", b"C"), (b"n", b"N"))


class Meta(msgspec.Struct, frozen=True):
    """What is not an array."""

    layout: int
    filter_capacity: int
    generation: int
    inserted: int
    since: int | None


def meta_field(once: OnceFilter) -> Fields:
    """The field that every state has."""
    meta = Meta(LAYOUT, once.capacity, once.generation, once.inserted, once.since)
    return {b"m": msgspec.msgpack.encode(meta)}


def read_meta(fields: Mapping[bytes, bytes]) -> Meta | None:
    """None for a state that was never written.

    Raises:
        ConfigError: written by a release with another layout, or not by Headrace.
    """
    if b"m" not in fields:
        return None
    try:
        meta = msgspec.msgpack.decode(fields[b"m"], type=Meta)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as e:
        raise ConfigError(f"video statistics are not readable: {e}; {ANEW}") from None
    if meta.layout != LAYOUT:
        raise ConfigError(
            f"video statistics of layout {meta.layout}; this release reads {LAYOUT}: {ANEW}"
        )
    return meta


def video_fields(table: VideoTable) -> Fields:
    """Rows, countries and neighbours that have changed."""
    n = len(table)
    fields = _rows(b"v", table.videos, table.rows[:n], np.flatnonzero(table.dirty[:n]))
    for (name, _), sketches in zip(SKETCHES, (table.countries, table.neighbours), strict=True):
        rows = np.flatnonzero(sketches.dirty[:n])
        fields |= _tables(name, table.videos[rows], sketches.tables.take(rows))
    return fields


def gone_videos(videos: list[int]) -> list[bytes]:
    """Fields of videos that were dropped."""
    return [name + _ID.pack(video) for video in videos for name in (b"v", b"c", b"n")]


def log_chunks(name: bytes, videos: Ids, log: Log, first: int) -> Fields:
    """Chunks of a log from entry `first` on."""
    out = np.zeros(len(log), _LOGGED)
    out["video"], out["key"], out["ts_ms"] = videos[log.rows], log.keys, log.ts_ms
    return {
        name + _NUMBER.pack(chunk): out[chunk * _CHUNK : (chunk + 1) * _CHUNK].tobytes()
        for chunk in range(first // _CHUNK, chunks_of(len(log)))
    }


def chunks_of(n: int) -> int:
    """Chunks that n entries fill."""
    return -(-n // _CHUNK)


def gone_chunks(name: bytes, have: int, had: int) -> list[bytes]:
    """Fields of chunks that a log of `have` entries no longer has, where it had `had`."""
    return [name + _NUMBER.pack(chunk) for chunk in range(chunks_of(have), chunks_of(had))]


def viewer_fields(viewers: CoWatch) -> tuple[Fields, list[bytes]]:
    """Viewers to write and to delete."""
    users, last, gone = viewers.changed()
    return _rows(b"u", users, last, np.arange(len(users))), [b"u" + _ID.pack(u) for u in gone]


def filter_fields(once: OnceFilter) -> tuple[Fields, list[bytes]]:
    """Pages to write and to delete."""
    write, delete = once.changed()
    fields = {b"f" + _PAGE.pack(*page): content for page, content in write.items()}
    return fields, [b"f" + _PAGE.pack(*page) for page in delete]


def read_videos(fields: Mapping[bytes, bytes]) -> NDArray[np.void]:
    """(n,) of `VIDEO`, in the order of their ids."""
    rows = np.frombuffer(b"".join(content for _, content in _named(fields, b"v")), VIDEO)
    return rows[np.argsort(rows["video"])]


def read_sketches(
    fields: Mapping[bytes, bytes], name: bytes, table: VideoTable, into: Sketches
) -> None:
    """Countries or neighbours of the videos in the table."""
    found = list(_named(fields, name))
    if found:
        into.grow()
    videos = np.array([_ID.unpack(key)[0] for key, _ in found], np.int64)
    for row, (_, content) in zip(table.find(videos).tolist(), found, strict=True):
        if row < 0:
            continue
        slots = np.frombuffer(content, _SLOT, offset=8)[: into.slots]
        into.tables.at_ms[row] = _ID.unpack_from(content)[0]
        into.tables.keys[row, : len(slots)] = slots["key"]
        into.tables.weights[row, : len(slots)] = slots["weight"]


def read_log(fields: Mapping[bytes, bytes], name: bytes, table: VideoTable) -> Log:
    """What was not worked in yet."""
    chunks = sorted(_named(fields, name), key=lambda chunk: _NUMBER.unpack(chunk[0])[0])
    log = np.frombuffer(b"".join(content for _, content in chunks), _LOGGED)
    rows = table.find(np.ascontiguousarray(log["video"]))
    entries = Log(rows, log["key"].astype(np.int64), log["ts_ms"].astype(np.int64))
    return entries.take(rows >= 0)


def read_viewers(fields: Mapping[bytes, bytes]) -> tuple[Ids, NDArray[np.void]]:
    """Viewers and what they watched last."""
    found = sorted(_named(fields, b"u"))
    users = np.array([_ID.unpack(key)[0] for key, _ in found], np.int64)
    return users, np.frombuffer(b"".join(content for _, content in found), VIEWER)


def read_pages(fields: Mapping[bytes, bytes]) -> Iterator[tuple[int, int, bytes]]:
    """(half, page, content) of the filter."""
    for key, content in _named(fields, b"f"):
        half, page = _PAGE.unpack(key)
        yield half, page, content


def page_names(fields: Mapping[bytes, bytes]) -> list[bytes]:
    """All fields of the filter."""
    return [b"f" + key for key, _ in _named(fields, b"f")]


def _named(fields: Mapping[bytes, bytes], name: bytes) -> Iterator[tuple[bytes, bytes]]:
    return ((key[1:], content) for key, content in fields.items() if key[:1] == name)


def _rows(name: bytes, ids: Ids, rows: NDArray[np.void], which: Rows) -> Fields:
    content, size = rows[which].tobytes(), rows.dtype.itemsize
    return {
        name + _ID.pack(id_): content[i * size : (i + 1) * size]
        for i, id_ in enumerate(ids[which].tolist())
    }


def _tables(name: bytes, videos: Ids, tables: Tables) -> Fields:
    used = np.count_nonzero(tables.keys, axis=1).tolist()
    slots = np.zeros(tables.keys.shape, _SLOT)
    slots["key"], slots["weight"] = tables.keys, tables.weights
    content, size = slots.tobytes(), tables.keys.shape[1] * _SLOT.itemsize
    return {
        name + _ID.pack(video): _ID.pack(at_ms)
        + content[i * size : i * size + filled * _SLOT.itemsize]
        for i, (video, at_ms, filled) in enumerate(
            zip(videos.tolist(), tables.at_ms.tolist(), used, strict=True)
        )
    }
