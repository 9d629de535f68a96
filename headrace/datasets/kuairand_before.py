"""What people of the KuaiRand week had taken to before it: up to 50 videos each, in order.

The files tell the time of the last one alone. The others are set a second apart before it, so that
no gap or hour of theirs says anything; only their order is true.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from contracts.errors import ConfigError, DatasetError
from contracts.events import Event
from headrace.replay.parquet import open_parquet, rows_of

FILE: Final = "user_sequences_before_0425.parquet"
_COLUMNS: Final = ("user_id", "last_time_ms", "watch_seq")
_APART_MS: Final = 1000


def before(folder: Path) -> Iterator[Event]:
    """A click for each, person by person; of repeats of a video the last one.

    Raises:
        DatasetError: there is no such file, or it is another.
    """
    path = folder / FILE
    try:
        file = open_parquet(path)
    except ConfigError as e:
        raise DatasetError(str(e)) from None
    if missing := set(_COLUMNS) - set(file.schema_arrow.names):
        raise DatasetError(f"{path} has no column {', '.join(sorted(missing))}")
    for row in rows_of(file, list(_COLUMNS)):
        yield from _clicks(row)


def _clicks(row: dict[str, Any]) -> Iterator[Event]:
    """The events of one person.

    >>> row = {"user_id": 7, "last_time_ms": 1_650_000_009_000, "watch_seq": [4, 5, 4]}
    >>> [(event.video_id, event.timestamp) for event in _clicks(row)]
    [('v_5', 1650000008000), ('v_4', 1650000009000)]
    """
    videos = list(dict.fromkeys(reversed(row["watch_seq"])))
    for back in range(len(videos) - 1, -1, -1):
        video = int(videos[back])
        yield Event(
            event_id=f"kr_before_{int(row['user_id'])}_{video}",
            user_id=f"u_{int(row['user_id'])}",
            event_type="click",
            timestamp=int(row["last_time_ms"]) - back * _APART_MS,
            video_id=f"v_{video}",
        )
