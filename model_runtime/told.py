"""What an event tells of its moment, and a person of themselves, as rows of learned tables.

Training and the step form read the same. A bundle lists the names it was trained with; another size
or another way of counting the rows of a name is another name.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from contracts.models import F32
from contracts.units import HOUR_MS
from contracts.user_record import UNKNOWN_AGE

Ints = NDArray[np.int64]
_YEARS: Final = 5  # an age is told to so many


@dataclass(frozen=True, slots=True)
class Input:
    """One name: how many rows it has, and (n,) or (n, k) of them from n moments or profiles; -1 none."""

    rows: int
    read: Callable[[NDArray[Any]], Ints]


def _time(ms: int, rows: int) -> Input:
    """Which of the `rows` spans of `ms` it is, by UTC; a moment without a time has none."""
    return Input(rows, lambda m: np.where(m["ts_ms"] > 0, m["ts_ms"] // ms % rows, -1))


def _letters(field: str) -> Input:
    """Two letters, as `contracts.ids.pack_country` packs them: a row for each pair."""

    def read(told: NDArray[Any]) -> Ints:
        packed = told[field].astype(np.int64)
        pair = ((packed >> 8) - ord("A")) * 26 + (packed & 0xFF) - ord("A")
        return np.where(packed > 0, pair % 676, -1)

    return Input(676, read)


def _hashed(field: str, rows: int) -> Input:
    """Names by their hash; two may share a row."""

    def read(told: NDArray[Any]) -> Ints:
        hashes = told[field].astype(np.int64)
        return np.where(hashes > 0, hashes % rows, -1)

    return Input(rows, read)


def _age(told: NDArray[Any]) -> Ints:
    age = told["age"].astype(np.int64)
    return np.where(age != UNKNOWN_AGE, np.minimum(age // _YEARS, 19), -1)


CONTEXT: Final[Mapping[str, Input]] = {  # of `contracts.models.MOMENT`
    "hour": _time(HOUR_MS, 24),
    "weekday": _time(24 * HOUR_MS, 7),
    "country": _letters("country"),
    "language": _letters("spoken"),
    "device": _hashed("device", 256),
    "connection": _hashed("connection", 32),
    "surface": _hashed("surface", 64),
}
PROFILE: Final[Mapping[str, Input]] = {  # of `contracts.user_record.PROFILE`
    "interests": _hashed("interests", 1024),
    "country": _letters("country"),
    "language": _letters("language"),
    "age": Input(20, _age),
    "device": _hashed("device", 256),
    "subscription": _hashed("subscription", 32),
}


def checked(known: Mapping[str, Input], names: Sequence[str], what: str) -> None:
    """Whether all names can be told.

    Raises:
        ValueError: one cannot, or is there twice; with its name.
    """
    if unknown := sorted(set(names) - set(known)):
        raise ValueError(
            f"{what} {', '.join(map(repr, unknown))} is not told here: there are {', '.join(known)}"
        )
    if len(set(names)) < len(names):
        raise ValueError(f"{what} names something twice: {', '.join(names)}")


def rows_needed(known: Mapping[str, Input], names: Sequence[str]) -> int:
    """Rows of the one table of all names; row 0 stands for what is not told, and is always zero."""
    return 1 + sum(known[name].rows for name in names)


def rows_of(known: Mapping[str, Input], names: Sequence[str], told: NDArray[Any]) -> Ints:
    """(n, k) rows of the table for n moments or profiles, 0 where nothing is told."""
    columns, first = [np.zeros((len(told), 0), np.int64)], 1
    for name in names:
        found = known[name].read(told)
        found = found if found.ndim > 1 else found[:, None]
        columns.append(np.where(found >= 0, found + first, 0))
        first += known[name].rows
    return np.concatenate(columns, axis=1)


def summed(table: F32, rows: Ints) -> F32:
    """(n, d) sums of the (n, k) rows, in their order, whoever else is in the batch."""
    out = np.zeros((len(rows), table.shape[1]), np.float32)
    for column in rows.T:
        if column.any():
            out += table[column]
    return out
