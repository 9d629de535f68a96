"""The training layout: what an archive of the topics would write, as Parquet.

A folder with `events`, `videos`, and optionally `profiles` and `impressions`, each one file
(`events.parquet`) or a folder of parts (`events/*.parquet`, in the order of their names). Columns
bear the names and units of the wire format; what is missing is null. `layout.toml` beside them says
what the folder is; a folder without one has real times.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal

import msgspec
import pyarrow as pa

from contracts.errors import DatasetError

ABOUT: Final = "layout.toml"
EVENTS, VIDEOS, PROFILES, IMPRESSIONS = "events", "videos", "profiles", "impressions"
KINDS: Final = (EVENTS, VIDEOS, PROFILES, IMPRESSIONS)
CONTEXT: Final = "context."  # the fields of an event's `context` are flat columns

Clock = Literal["ms", "order"]


class About(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a folder is.

    Attributes:
        name: told in reports.
        clock: "ms" where timestamps are times; "order" where they only say what came first in a
            person's events, so that nothing may be made of the gaps between them.
        licence, source: of the data, told beside every figure.
        layout: number of this layout.
    """

    name: str = "log"
    clock: Clock = "ms"
    licence: str = ""
    source: str = ""
    layout: Literal[1] = 1


_text, _ints = pa.string(), pa.int64()
_texts = pa.list_(pa.string())
SCHEMAS: Final[Mapping[str, pa.Schema]] = {
    EVENTS: pa.schema([
        ("event_id", _text), ("user_id", _text), ("event_type", _text), ("timestamp", _ints),
        ("video_id", _text), ("watch_ms", _ints), ("duration_ms", _ints), ("rating", pa.float64()),
        ("query", _text), ("creator_id", _text), ("tracking_token", _text),
        ("context.connection", _text), ("context.device", _text), ("context.country", _text),
        ("context.language", _text), ("context.surface", _text),
        ("arrived_ms", _ints),  # the broker's time; the event's own where it is missing
        ("request_id", _text),  # of the impression that it came of, where that is known
    ]),
    VIDEOS: pa.schema([
        ("video_id", _text), ("published_at", _ints), ("title", _text), ("description", _text),
        ("tags", _texts), ("category", _text), ("language", _text), ("countries", _texts),
        ("creator_id", _text), ("duration_ms", _ints), ("thumbnail_url", _text),
        ("min_age", _ints), ("status", _text), ("sponsored", pa.bool_()),
        ("embedding", pa.list_(pa.float32())),
    ]),
    PROFILES: pa.schema([
        ("user_id", _text), ("country", _text), ("language", _text), ("age", _ints),
        ("device", _text), ("subscription", _text), ("interests", _texts),
        ("blocked_creators", _texts), ("created_at", _ints),
    ]),
    IMPRESSIONS: pa.schema([
        ("request_id", _text), ("user_id", _text), ("at_ms", _ints), ("surface", _text),
        ("bundle", _text), ("variant", _text), ("rung", _text), ("country", _text),
        ("video_ids", _texts), ("positions", pa.list_(pa.int64())),
        ("propensities", pa.list_(pa.float64())),
        ("features", pa.map_(_text, pa.list_(pa.float32()))),  # name -> one value a video
        ("arrived_ms", _ints),
    ]),
}  # fmt: skip
REQUIRED: Final[Mapping[str, tuple[str, ...]]] = {
    EVENTS: ("event_id", "user_id", "event_type", "timestamp"),
    VIDEOS: ("video_id", "published_at"),
    PROFILES: ("user_id",),
    IMPRESSIONS: ("request_id", "user_id", "at_ms", "video_ids"),
}


def read_about(folder: Path) -> About:
    """What `layout.toml` says, the defaults with the folder's name without one.

    Raises:
        DatasetError: it is not TOML, or says what this layout does not know.
    """
    path = folder / ABOUT
    if not path.is_file():
        return About(name=folder.resolve().name)
    try:
        return msgspec.toml.decode(path.read_bytes(), type=About)
    except (msgspec.DecodeError, UnicodeDecodeError) as e:
        raise DatasetError(f"{path}: {e}") from None


def write_about(folder: Path, about: About) -> None:
    """Write `layout.toml`."""
    fields = msgspec.structs.asdict(about).items()
    lines = (f"{name} = {json.dumps(value, ensure_ascii=False)}\n" for name, value in fields)
    # JSON's texts are TOML's, but for DEL, which TOML wants escaped.
    (folder / ABOUT).write_text("".join(lines).replace("\x7f", "\\u007f"), "utf-8")
