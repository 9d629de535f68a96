"""The KuaiRand week: each row of its log is an impression with what came of it.

The rows are read by the code that replays them; a row that repeats another exactly counts once.
"""

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from contracts.engine_records import Impression
from contracts.errors import ConfigError, DatasetError
from contracts.events import Event
from contracts.profiles import Profile
from contracts.videos import Video
from headrace.datasets.kuairand_before import before
from headrace.replay import kuairand
from headrace.replay.rows import Message, Refused
from model_runtime.training.layout import About

T = TypeVar("T", Event, Profile, Video, Impression)
ABOUT: Final = About(
    name="KuaiRand-Pure, week of 2022-04-25",
    licence="CC BY-SA 4.0, Kuaishou",
    source="C. Gao et al.: KuaiRand, CIKM 2022",
)


class KuaiRand:
    """The folder with the log, the videos and the people.

    Raises:
        DatasetError: a file is missing, or a row is not one of the data set.
    """

    about = ABOUT

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        if not kuairand.is_kuairand(folder):
            raise DatasetError(f"{folder} is not KuaiRand: no {kuairand.ITEMS} and log_*.parquet")
        try:
            found = kuairand.sources(folder)
        except ConfigError as e:
            raise DatasetError(str(e)) from None
        self._items = [source for source in found if isinstance(source, kuairand.Items)]
        self._users = [source for source in found if isinstance(source, kuairand.Users)]
        self._logs = [source for source in found if isinstance(source, kuairand.Log)]

    def videos(self) -> Iterator[Video]:
        """Every video: creator, tags, length and day; of no use are the month-wide statistics."""
        for source in self._items:
            yield from _of(Video, source)

    def profiles(self) -> Iterator[Profile]:
        """Everybody of the log."""
        for source in self._users:
            yield from _of(Profile, source)

    def events(self) -> Iterator[Event]:
        """What people did, each once."""
        seen = set[str]()
        for source in self._logs:
            for event in _of(Event, source):
                if event.event_id not in seen:
                    seen.add(event.event_id)
                    yield event

    def impressions(self) -> Iterator[Impression]:
        """What people were shown, a video a page, each once."""
        seen = set[str]()
        for source in self._logs:
            for page in source.pages():
                if page.request_id not in seen:
                    seen.add(page.request_id)
                    yield page

    def request_of(self, event: Event) -> str | None:
        """The page that an event came of: its id without the kind."""
        return kuairand.page_id(event.event_id)


class KuaiRandWarm(KuaiRand):
    """The week, and what its people had taken to before it: everybody's histories begin warm."""

    about = msgspec.structs.replace(
        ABOUT, name="KuaiRand-Pure, week of 2022-04-25 with histories before it"
    )

    def events(self) -> Iterator[Event]:
        """What was before, then the week."""
        return chain(before(self._folder), super().events())

    def request_of(self, event: Event) -> str | None:
        """None of what was before."""
        return None if event.event_id.startswith("kr_before_") else super().request_of(event)


def _of(
    kind: type[T],
    items: Iterator[Message | Refused] | kuairand.Log | kuairand.Items | kuairand.Users,
) -> Iterator[T]:
    for item in items:
        if isinstance(item, Refused):
            raise DatasetError(str(item))
        assert isinstance(item, kind)
        yield item
