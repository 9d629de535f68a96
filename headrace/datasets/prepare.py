"""From the files of a public data set to the training layout."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, Protocol

from contracts.errors import DatasetError
from contracts.events import Event
from contracts.profiles import Profile
from contracts.videos import Video
from headrace.datasets.kuairand import KuaiRand, KuaiRandWarm
from headrace.datasets.movielens_1m import MovieLens1M
from headrace.datasets.movielens_100k import MovieLens100K
from headrace.datasets.names import Name
from model_runtime.training.layout import About
from model_runtime.training.writing import Record, write_log


class DataSet(Protocol):
    """A public data set, opened."""

    @property
    def about(self) -> About: ...
    def videos(self) -> Iterator[Video]: ...
    def profiles(self) -> Iterator[Profile]: ...
    def events(self) -> Iterator[Event]: ...


READERS: Final[dict[Name, Callable[[Path], DataSet]]] = {
    Name.MOVIELENS_1M: MovieLens1M,
    Name.MOVIELENS_100K: MovieLens100K,
    Name.KUAIRAND: KuaiRand,
    Name.KUAIRAND_WARM: KuaiRandWarm,
}


def prepare(name: Name, source: Path, target: Path) -> tuple[About, dict[str, int]]:
    """Write the data set in `source`, or one level below it, to `target`; rows of each kind.

    Raises:
        DatasetError: it is not there, or `target` is not empty.
    """
    found = _open(name, source)
    records: list[Iterator[Record]] = [found.videos(), found.profiles(), found.events()]
    if isinstance(found, KuaiRand):
        pages, request_of = found.impressions(), found.request_of
        return found.about, write_log(target, found.about, *records, pages, request_of=request_of)
    return found.about, write_log(target, found.about, *records)


def _open(name: Name, source: Path) -> DataSet:
    if not source.is_dir():
        raise DatasetError(f"{source} is no folder")
    refused = []
    for folder in (source, *sorted(path for path in source.iterdir() if path.is_dir())):
        try:
            return READERS[name](folder)
        except DatasetError as e:
            refused.append(str(e))
    raise DatasetError("; ".join(refused))
