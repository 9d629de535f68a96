"""MovieLens-1M: a million ratings in order, without times."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from contracts.errors import DatasetError
from contracts.events import Event
from contracts.profiles import Profile
from contracts.videos import Video
from headrace.datasets.films import film, person, rating
from headrace.replay.parquet import open_parquet, rows_of
from model_runtime.training.layout import About

_ORDER: Final = "sequences_chronological.parquet"
_STARS: Final = "rating_matrix.npz"
ABOUT: Final = About(
    name="MovieLens-1M",
    clock="order",
    licence="GroupLens: research use, no redistribution",
    source="F. M. Harper, J. A. Konstan: The MovieLens Datasets, ACM TiiS 5(4), 2015",
)


class MovieLens1M:
    """The folder with `movies.dat`, `users.dat`, the ratings' order and their stars.

    Raises:
        DatasetError: a file is missing.
    """

    about = ABOUT

    def __init__(self, folder: Path) -> None:
        for name in ("movies.dat", "users.dat", _ORDER, _STARS):
            if not (folder / name).is_file():
                raise DatasetError(f"{folder} is not MovieLens-1M: no {name}")
        self._folder = folder

    def videos(self) -> Iterator[Video]:
        """Every film of the list, rated or not."""
        for number, title, genres in self._lines("movies.dat"):
            yield film(number, title, genres.split("|"))

    def profiles(self) -> Iterator[Profile]:
        """Everybody; ages are the lower ends of ranges."""
        for number, _, age, _, _ in self._lines("users.dat"):
            yield person(number, int(age))

    def events(self) -> Iterator[Event]:
        """Every rating. The k-th of a person is stamped with k seconds: an order, not a time."""
        stars = self._stars()
        rows = rows_of(open_parquet(self._folder / _ORDER), ["item_ids"])
        for user, row in enumerate(rows, 1):
            for k, movie in enumerate(row["item_ids"], 1):
                yield rating(user, movie, float(stars[user - 1, movie - 1]), k)

    def _stars(self) -> NDArray[np.int8]:
        """(users, films) stars; some lie in a list beside the matrix."""
        with np.load(self._folder / _STARS) as file:
            stars = file["rating_matrix"].copy()
            user, movie, held = file["validation_matrix"].T
        stars[user, movie] = held
        return stars  # type: ignore[no-any-return]

    def _lines(self, name: str) -> Iterator[list[str]]:
        for line in (self._folder / name).read_text("latin-1").splitlines():
            yield line.split("::")
