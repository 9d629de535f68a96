"""Writing the training layout: a folder that is there whole, or not at all."""

import shutil
from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from contracts.engine_records import Impression
from contracts.errors import DatasetError
from contracts.events import Event
from contracts.profiles import Profile
from contracts.videos import Video
from model_runtime.training.layout import (
    CONTEXT,
    EVENTS,
    IMPRESSIONS,
    PROFILES,
    SCHEMAS,
    VIDEOS,
    About,
    write_about,
)

Record = Event | Video | Profile | Impression
RequestOf = Callable[[Event], str | None]
_ROWS: Final = 65_536
_KIND: Final[Mapping[type, str]] = {
    Event: EVENTS, Video: VIDEOS, Profile: PROFILES, Impression: IMPRESSIONS,
}  # fmt: skip


def write_log(
    folder: Path,
    about: About,
    *records: Iterable[Record],
    request_of: RequestOf = lambda _: None,
) -> dict[str, int]:
    """Write a training log; rows of each kind.

    Args:
        records: each of one kind, in the order of the log.
        request_of: the request id of the impression that an event came of, None unknown.

    Raises:
        DatasetError: `folder` is there and holds something.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DatasetError(f"{folder} is there and not empty: name another, or remove it")
    making = folder.with_name(folder.name + ".making")
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir(parents=True)
    try:
        counts: dict[str, int] = {}
        for some in records:
            kind, rows = _write(making, iter(some), request_of)
            counts[kind] = rows
        write_about(making, about)
        if folder.exists():
            folder.rmdir()
        making.rename(folder)
    finally:
        shutil.rmtree(making, ignore_errors=True)
    return counts


def _write(folder: Path, records: Any, request_of: RequestOf) -> tuple[str, int]:
    some = list(islice(records, _ROWS))
    if not some:
        return "", 0
    kind, total = _KIND[type(some[0])], 0
    schema = SCHEMAS[kind]
    with pq.ParquetWriter(folder / f"{kind}.parquet", schema, compression="zstd") as out:
        while some:
            rows = [row_of(record, request_of) for record in some]
            out.write_table(pa.Table.from_pylist(rows, schema))
            total += len(rows)
            some = list(islice(records, _ROWS))
    return kind, total


def row_of(record: Record, request_of: RequestOf) -> dict[str, Any]:
    """The columns of one record; those left out are null."""
    row: dict[str, Any] = msgspec.to_builtins(record, builtin_types=(bytes,))
    for name, value in row.pop("context", {}).items():
        row[CONTEXT + name] = value
    if isinstance(record, Impression):
        named = record.features.items()
        row["features"] = [(k, np.frombuffer(v, "<f4").tolist()) for k, v in named]
    elif isinstance(record, Event):
        row["request_id"] = request_of(record)
    return row
