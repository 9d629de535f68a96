"""MovieLens-100K: a hundred thousand ratings with their times."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import numpy as np

from contracts.errors import DatasetError
from contracts.events import Event
from contracts.profiles import Profile
from contracts.videos import Video
from headrace.datasets.films import film, person, rating
from model_runtime.training.layout import About

ABOUT: Final = About(
    name="MovieLens-100K",
    licence="GroupLens: research use, no redistribution",
    source="F. M. Harper, J. A. Konstan: The MovieLens Datasets, ACM TiiS 5(4), 2015",
)
_FIRST_GENRE: Final = 5  # column of u.item


class MovieLens100K:
    """The folder with `u.data`, `u.item`, `u.user` and `u.genre`.

    Raises:
        DatasetError: a file is missing.
    """

    about = ABOUT

    def __init__(self, folder: Path) -> None:
        for name in ("u.data", "u.item", "u.user", "u.genre"):
            if not (folder / name).is_file():
                raise DatasetError(f"{folder} is not MovieLens-100K: no {name}")
        self._folder = folder

    def videos(self) -> Iterator[Video]:
        """Every film, with its day of release where it is told."""
        genres = [line[0] for line in self._lines("u.genre")]
        for line in self._lines("u.item"):
            flags = line[_FIRST_GENRE:]
            own = [genre for genre, flag in zip(genres, flags, strict=True) if flag == "1"]
            yield film(line[0], line[1], own, _day_s(line[2]))

    def profiles(self) -> Iterator[Profile]:
        """Everybody, with the age."""
        for number, age, *_ in self._lines("u.user"):
            yield person(number, int(age))

    def events(self) -> Iterator[Event]:
        """Every rating, by time; in a second, in the order of the file."""
        rows = np.loadtxt(self._folder / "u.data", np.int64)
        for user, movie, stars, at_s in rows[np.argsort(rows[:, 3], kind="stable")].tolist():
            yield rating(user, movie, float(stars), at_s)

    def _lines(self, name: str) -> Iterator[list[str]]:
        for line in (self._folder / name).read_text("latin-1").splitlines():
            if line:
                yield line.split("|")


def _day_s(day: str) -> int | None:
    """Seconds of "01-Jan-1995", None of nothing."""
    if not day:
        return None
    return int(datetime.strptime(day, "%d-%b-%Y").replace(tzinfo=UTC).timestamp())
