"""Events, videos and profiles from Parquet whose columns bear the names of the wire format's fields.

Rows go through the same decoders as JSON, so that the same rows are refused for the same reasons.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Final

import orjson

from contracts.errors import BadMessageError, ConfigError
from headrace.replay.json_lines import DECODERS
from headrace.replay.kinds import kind_of
from headrace.replay.rows import Message, Refused

_BATCH: Final = 4096
_CONTEXT: Final = "context."  # a flat column "context.country" is a field of `context`


def open_parquet(path: Path) -> Any:
    """A pyarrow ParquetFile.

    Raises:
        ConfigError: pyarrow is not installed, or the file is not Parquet.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise ConfigError(
            "Parquet needs pyarrow: pip install 'headrace[sandbox]', or replay JSON lines"
        ) from None
    try:
        return pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as e:
        raise ConfigError(f"{path} is not Parquet: {e}") from None


def rows_of(file: Any, columns: list[str] | None = None) -> Iterator[dict[str, Any]]:
    """Rows of an open file as dicts, a batch in memory at a time."""
    for batch in file.iter_batches(_BATCH, columns=columns):
        yield from batch.to_pylist()


class ParquetRows:
    """One file of one kind."""

    def __init__(self, path: Path) -> None:
        self.path = path
        file = open_parquet(path)
        self.kind = kind_of(path, file.schema_arrow.names)
        self.size = file.metadata.num_rows
        self.done = 0

    def __iter__(self) -> Iterator[Message | Refused]:
        """Every row, in order."""
        decode, self.done = DECODERS[self.kind], 0
        for row in rows_of(open_parquet(self.path)):
            self.done += 1
            try:
                yield decode(orjson.dumps(_message(row), default=_plain))
            except (BadMessageError, orjson.JSONEncodeError) as e:
                yield Refused(self.path, self.done, str(e))


def _message(row: dict[str, Any]) -> dict[str, Any]:
    """Drop what is missing, fold the flat columns of `context`, dates to milliseconds."""
    message: dict[str, Any] = {}
    for name, value in row.items():
        if value is None:
            continue
        plain = _plain(value) if isinstance(value, datetime | date) else value
        if name.startswith(_CONTEXT):
            message.setdefault("context", {})[name.removeprefix(_CONTEXT)] = plain
        else:
            message[name] = plain
    return message


def _plain(value: Any) -> Any:
    """A date as Unix milliseconds (no time zone is UTC), bytes as text.

    Raises:
        TypeError: it has no JSON form; orjson turns this into its own error.
    """
    if isinstance(value, datetime):
        return round((value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp() * 1000)
    if isinstance(value, date):
        return _plain(datetime(value.year, value.month, value.day, tzinfo=UTC))
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    raise TypeError(f"{type(value).__name__} has no JSON form")
