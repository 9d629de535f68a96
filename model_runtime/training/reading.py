"""Rows of the training layout as the wire format's structs, refused by their place."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from contracts.engine_records import Impression
from contracts.errors import DatasetError
from contracts.events import Event, problem_of, to_ms
from contracts.profiles import Profile
from contracts.videos import Video
from model_runtime.training.layout import CONTEXT, EVENTS, IMPRESSIONS, PROFILES, VIDEOS
from model_runtime.training.parts import Part, find_parts, read_parts

T = TypeVar("T")
_BESIDE: Final[Mapping[type, tuple[str, ...]]] = {
    Event: ("arrived_ms", "request_id"),
    Impression: ("arrived_ms",),
}
_DEFAULTS: Final[dict[str, Any]] = {
    "surface": "home", "bundle": "", "variant": "", "rung": "full", "country": None,
}  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class EventRows:
    """n events in the order of the file.

    Attributes:
        arrived_ms: (n,) int64, the broker's time, else the event's own.
        requests: of each event the impression that it came of, or None.
    """

    events: list[Event]
    arrived_ms: NDArray[np.int64]
    requests: list[str | None]


@dataclass(frozen=True, slots=True, eq=False)
class PageRows:
    """n impressions in the order of the file; `arrived_ms` as for events."""

    pages: list[Impression]
    arrived_ms: NDArray[np.int64]


def read_events(folder: Path) -> Iterator[EventRows]:
    """All events, a batch in memory at a time.

    Raises:
        DatasetError: with file, row and reason; so do all that read.
    """
    for part in read_parts(find_parts(folder, EVENTS), EVENTS):
        events = _convert(part, Event)
        for i, event in enumerate(events):
            if problem := problem_of(event):
                raise DatasetError(f"{part.path}, row {part.first + i}: {problem}")
        own = np.array([to_ms(event.timestamp) for event in events], np.int64)
        named = _column(part, "request_id")
        requests = [None] * len(events) if named is None else named.to_pylist()
        yield EventRows(events, _arrived(part, own), requests)


def read_videos(folder: Path) -> list[Video]:
    """All videos; of a repeated one the last, at its first place. A removed one is left out."""
    videos: dict[str, Video] = {}
    size: tuple[int, str] | None = None
    for part in read_parts(find_parts(folder, VIDEOS), VIDEOS):
        _finite(part)
        for video in _convert(part, Video):
            videos[video.video_id] = video
            if video.embedding is not None:
                size = size or (len(video.embedding), video.video_id)
                if len(video.embedding) != size[0]:
                    raise DatasetError(
                        f"{part.path}: the embedding of {video.video_id!r} has "
                        f"{len(video.embedding)} numbers, that of {size[1]!r} has {size[0]}"
                    )
    return [video for video in videos.values() if video.status == "published"]


def read_profiles(folder: Path) -> dict[str, Profile]:
    """User id -> profile; the last of a person counts."""
    parts = read_parts(find_parts(folder, PROFILES), PROFILES)
    return {profile.user_id: profile for part in parts for profile in _convert(part, Profile)}


def read_impressions(folder: Path) -> Iterator[PageRows]:
    """All impressions, a batch in memory at a time; none where there are none."""
    for part in read_parts(find_parts(folder, IMPRESSIONS), IMPRESSIONS):
        pages = _convert(part, Impression)
        for i, page in enumerate(pages):
            if not len(page.video_ids) == len(page.positions) == len(page.propensities):
                raise DatasetError(
                    f"{part.path}, row {part.first + i}: {len(page.video_ids)} video_ids, "
                    f"{len(page.positions)} positions and {len(page.propensities)} propensities"
                )
        yield PageRows(pages, _arrived(part, np.array([page.at_ms for page in pages], np.int64)))


def _arrived(part: Part, own_ms: NDArray[np.int64]) -> NDArray[np.int64]:
    """(n,) the broker's times, where they are told; else the row's own."""
    told = _column(part, "arrived_ms")
    if told is None:
        return own_ms
    at_ms = pc.fill_null(told, -1).to_numpy()
    return np.where(at_ms < 0, own_ms, at_ms)


def _column(part: Part, name: str) -> Any:
    return part.columns.column(name) if name in part.columns.schema.names else None


def _convert(part: Part, to: type[T]) -> list[T]:
    """The rows as structs, checked by the same types as the wire format."""
    names = [
        name
        for name, column in zip(part.columns.schema.names, part.columns.columns, strict=True)
        if name not in _BESIDE.get(to, ()) and column.null_count < len(column)
    ]
    cells = zip(*(part.columns.column(name).to_pylist() for name in names), strict=True)
    rows = [_row(to, names, values) for values in cells]
    try:
        return msgspec.convert(rows, list[to])  # type: ignore[valid-type]
    except msgspec.ValidationError as e:
        raise DatasetError(_placed(part, str(e))) from None


def _row(to: type, names: list[str], values: tuple[Any, ...]) -> dict[str, Any]:
    row = {name: value for name, value in zip(names, values, strict=True) if value is not None}
    if to is Event and (context := [name for name in row if name.startswith(CONTEXT)]):
        row["context"] = {name.removeprefix(CONTEXT): row.pop(name) for name in context}
    if to is Impression:
        n = len(row["video_ids"])
        row = {**_DEFAULTS, "positions": list(range(n)), "propensities": [1.0] * n} | row
        features = dict(row.get("features", ()))
        row["features"] = {k: np.array(v, "<f4").tobytes() for k, v in features.items()}
    return row


def _placed(part: Part, message: str) -> str:
    """`Expected str - at `$[7].title`` -> file, row 8, and what is wrong."""
    head, _, tail = message.partition("$[")
    row, _, rest = tail.partition("]")
    if not row.isdigit():
        return f"{part.path}: {message}"
    reason = head.removesuffix(" - at `")
    field = rest.strip("`.")
    return f"{part.path}, row {part.first + int(row)}{f', {field}' if field else ''}: {reason}"


def _finite(part: Part) -> None:
    column = _column(part, "embedding")
    if column is None:
        return
    flat = column.flatten()
    wrong = pc.or_kleene(pc.invert(pc.is_finite(flat)), pc.is_null(flat))
    if pc.any(wrong).as_py():
        at = int(pc.list_parent_indices(column)[pc.index(wrong, pa.scalar(True)).as_py()].as_py())
        raise DatasetError(
            f"{part.path}, row {part.first + at}: the embedding has a value that is not finite"
        )
