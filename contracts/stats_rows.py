"""The wire format of `video-stats`: a message is a fixed row and what follows it; read as columns.

    ROW          little-endian; its first byte is the layout, which no msgpack map begins with
    NEIGHBOUR    12 bytes each, strongest first, up to the end of the message

Msgpack of `engine_records.VideoStats`, which earlier releases wrote, is read too. Checked like all
that is read from a topic: who may write to it can write anything.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from contracts.batch import Mask, Rows
from contracts.engine_records import VideoStats, decode_stats
from contracts.errors import BadMessageError
from contracts.events import MAX_TIMESTAMP_MS

LAYOUT: Final = 1
COUNTRIES: Final = 8
SOURCE_BYTES: Final = 24
ROW: Final = np.dtype(
    [
        ("layout", "<u8"),
        ("video", "<i8"),
        ("source", f"S{SOURCE_BYTES}"),
        ("at_ms", "<i8"),
        ("version", "<i8"),
        ("counts", "<f8", 5),
        ("trend", "<f8"),
        ("country", "<u2", COUNTRIES),  # the heaviest, then 0
        ("near", "<f4", COUNTRIES),
    ]
)  # what the names mean: `engine_records.VideoStats`
NEIGHBOUR: Final = np.dtype([("video", "<i8"), ("weight", "<f4")])
_SIZE: Final = ROW.itemsize
_MOST_NEIGHBOURS: Final = 256
_LARGEST: Final = _SIZE + _MOST_NEIGHBOURS * NEIGHBOUR.itemsize
_MOST: Final = 1e15  # as in `engine_records`: sums of them fit into float32


@dataclass(frozen=True, slots=True, eq=False)
class StatsColumns:
    """n states.

    Attributes:
        rows: (n,) of `ROW`.
        neighbours: n times packed `NEIGHBOUR`, strongest first.
    """

    rows: NDArray[np.void]
    neighbours: list[bytes]

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, which: Rows) -> "StatsColumns":
        """Some of them."""
        return StatsColumns(self.rows[which], [self.neighbours[i] for i in which.tolist()])


def messages(states: StatsColumns) -> list[bytes]:
    """The value of each state's message."""
    content = states.rows.tobytes()
    return [
        content[i * _SIZE : (i + 1) * _SIZE] + beside for i, beside in enumerate(states.neighbours)
    ]


def decode(values: Sequence[bytes]) -> tuple[StatsColumns, list[int]]:
    """The states of a run of messages in their order, and the numbers of those that are none."""
    read = values if all(map(_is_row, values)) else [_as_row(value) for value in values]
    given = [i for i, value in enumerate(read) if value is not None]
    some = [value for value in read if value is not None]
    rows = np.frombuffer(b"".join([value[:_SIZE] for value in some]), ROW)
    states = StatsColumns(rows, [value[_SIZE:] for value in some])
    sound = _sound(states)
    if not sound.all():
        states = states.take(np.flatnonzero(sound))
        given = [i for i, ok in zip(given, sound.tolist(), strict=True) if ok]
    bad = set(range(len(values))).difference(given) if len(given) < len(values) else ()
    return states, sorted(bad)


def of_records(records: Sequence[VideoStats]) -> StatsColumns:
    """The same states as columns; no more than `COUNTRIES` of each.

    Raises:
        BadMessageError: the source's name is too long.
    """
    rows = np.zeros(len(records), ROW)
    rows["layout"] = LAYOUT
    neighbours = []
    for row, record in zip(rows, records, strict=True):
        source = record.source.encode()
        if len(source) > SOURCE_BYTES:
            raise BadMessageError(f"not video statistics: source {source[:SOURCE_BYTES]!r}...")
        row["video"], row["source"] = record.video, source
        for name in ("at_ms", "version", "counts", "trend"):
            row[name] = getattr(record, name)
        near = list(record.trend_by_country.items())[:COUNTRIES]
        row["country"][: len(near)] = [country for country, _ in near]
        row["near"][: len(near)] = [weight for _, weight in near]
        neighbours.append(_packed(record.neighbours.ids, record.neighbours.weights))
    return StatsColumns(rows, neighbours)


def _packed(ids: Sequence[int], weights: Sequence[float]) -> bytes:
    out = np.empty(len(ids), NEIGHBOUR)
    out["video"], out["weight"] = ids, weights
    return out.tobytes()


def _is_row(value: bytes) -> bool:
    return (
        _SIZE <= len(value) <= _LARGEST
        and value[0] == LAYOUT
        and (len(value) - _SIZE) % NEIGHBOUR.itemsize == 0
    )


def _as_row(value: bytes) -> bytes | None:
    """A message of any release as this one writes it; None if it is no state."""
    if _is_row(value):
        return value
    try:
        return messages(of_records([decode_stats(value)]))[0]
    except BadMessageError:
        return None


def _sound(states: StatsColumns) -> Mask:
    """(n,) whether every number is one that sums may be made of; NaN is not."""
    rows = states.rows
    sound = (rows["layout"] == LAYOUT) & (np.abs(rows["trend"]) <= _MOST)
    sound &= (rows["at_ms"] >= 0) & (rows["at_ms"] <= MAX_TIMESTAMP_MS)
    sound &= (np.abs(rows["counts"]) <= _MOST).all(axis=1)
    sound &= (np.abs(rows["near"]) <= _MOST).all(axis=1)
    near = np.frombuffer(b"".join(states.neighbours), NEIGHBOUR)["weight"]
    if len(wrong := np.flatnonzero(~(np.abs(near) <= _MOST))):
        ends = np.cumsum([len(beside) // NEIGHBOUR.itemsize for beside in states.neighbours])
        sound[np.searchsorted(ends, wrong, side="right")] = False
    out: Mask = sound
    return out
