"""Parquet files of one kind, checked against the layout and read a batch at a time."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from contracts.errors import DatasetError
from model_runtime.training.layout import CONTEXT, IMPRESSIONS, PROFILES, REQUIRED, SCHEMAS

_BATCH: Final = 65_536
_OPTIONAL: Final = (PROFILES, IMPRESSIONS)


@dataclass(frozen=True, slots=True)
class Part:
    """Some rows of a file; `first` is the number of the first of them, from 1."""

    path: Path
    first: int
    columns: pa.RecordBatch


def find_parts(folder: Path, kind: str) -> list[Path]:
    """The files of a kind, in the order of their names; none of an optional kind is no error.

    Raises:
        DatasetError: the folder, or a kind that has to be there, is not.
    """
    if not folder.is_dir():
        raise DatasetError(
            f"{folder} is no folder; a training log is one: see `headrace data --help`"
        )
    one, many = folder / f"{kind}.parquet", folder / kind
    if one.is_file() and many.is_dir():
        raise DatasetError(f"{folder} has both {one.name} and {many.name}/: which one counts?")
    found = [one] if one.is_file() else sorted(many.rglob("*.parquet"))
    if not found and kind not in _OPTIONAL:
        raise DatasetError(f"{folder} has no {one.name} and no {many.name}/*.parquet")
    return found


def read_parts(paths: Sequence[Path], kind: str) -> Iterator[Part]:
    """Every row of the files: the layout's columns that are there, in the layout's types.

    Raises:
        DatasetError: a file is not Parquet, lacks a column or has one of a type that does not fit.
    """
    for path in paths:
        try:
            file = pq.ParquetFile(path)
        except (pa.ArrowException, OSError) as e:
            raise DatasetError(f"{path} is not Parquet: {e}") from None
        named = file.schema_arrow.names
        if missing := [name for name in REQUIRED[kind] if name not in named]:
            raise DatasetError(
                f"{path} has no column {', '.join(missing)}; it has {', '.join(named) or 'none'}"
            )
        wanted = [name for name in named if name in SCHEMAS[kind].names or name == CONTEXT[:-1]]
        first = 1
        for batch in file.iter_batches(_BATCH, columns=wanted):
            yield Part(path, first, _fitted(batch, kind, path))
            first += len(batch)


def _fitted(batch: pa.RecordBatch, kind: str, path: Path) -> pa.RecordBatch:
    columns = {}
    for name, column in _flat(batch).items():
        if name in SCHEMAS[kind].names:
            columns[name] = _cast(column, SCHEMAS[kind].field(name).type, f"{path}, column {name}")
    for name in REQUIRED[kind]:
        if columns[name].null_count:
            raise DatasetError(f"{path}, column {name}: {columns[name].null_count} values are null")
    return pa.RecordBatch.from_pydict(columns)


def _flat(batch: pa.RecordBatch) -> dict[str, Any]:
    """A nested `context` becomes flat columns."""
    flat: dict[str, Any] = {}
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        if name == CONTEXT[:-1] and pa.types.is_struct(column.type):
            names = [field.name for field in column.type]
            flat |= {CONTEXT + n: c for n, c in zip(names, column.flatten(), strict=True)}
        else:
            flat[name] = column
    return flat


def _cast(column: Any, wanted: pa.DataType, where: str) -> Any:
    """The column in the layout's type; a date becomes milliseconds, a text stays a text."""
    if column.type == wanted:
        return column
    held = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if pa.types.is_temporal(held) and pa.types.is_int64(wanted):
        column = pc.cast(pc.cast(column, pa.timestamp("ms", tz="UTC"), safe=False), pa.int64())
    elif not _alike(held, wanted):
        numbers = pa.types.is_string(wanted) and pa.types.is_integer(held)
        cast = ": write numbers as texts, which is what ids are on the wire too" if numbers else ""
        raise DatasetError(f"{where} holds {held}, wanted {wanted}{cast}")
    try:
        return pc.cast(column, wanted)
    except pa.ArrowInvalid as e:
        raise DatasetError(f"{where} holds {held}, wanted {wanted}: {e}") from None


def _alike(held: pa.DataType, wanted: pa.DataType) -> bool:
    """Whether a cast keeps the meaning: numbers to numbers, texts to texts, lists to lists."""
    t = pa.types
    if t.is_null(held):
        return True
    for is_list in (t.is_list, t.is_large_list, t.is_fixed_size_list):
        if is_list(held):
            return bool(t.is_list(wanted)) and _alike(held.value_type, wanted.value_type)
    if t.is_string(wanted):
        return bool(t.is_string(held) or t.is_large_string(held) or t.is_string_view(held))
    if t.is_boolean(wanted) or t.is_map(wanted):
        return bool(held == wanted)
    return bool(t.is_integer(held) or t.is_floating(held) or t.is_decimal(held))
