"""What a reader yields: a typed message, or a row that it refuses, each with its place."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Protocol

from contracts.events import Event, to_ms
from contracts.profiles import Profile
from contracts.videos import Video

Message = Event | Video | Profile


class Kind(Enum):
    """What a file holds."""

    EVENTS = "events"
    VIDEOS = "videos"
    PROFILES = "profiles"


@dataclass(frozen=True, slots=True)
class Refused:
    """A row that is not a message. `row` counts from 1, as editors do."""

    path: Path
    row: int
    reason: str

    def __str__(self) -> str:
        return f"{self.path}, row {self.row}: {self.reason}"


class Source(Protocol):
    """One file of one kind, read from its start each time.

    `size` is what a progress bar counts to and `done` how far the newest iteration is, in any unit.
    """

    @property
    def path(self) -> Path: ...
    @property
    def kind(self) -> Kind: ...
    @property
    def size(self) -> int: ...
    @property
    def done(self) -> int: ...

    def __iter__(self) -> Iterator[Message | Refused]: ...


def time_of(message: Message) -> int | None:
    """When it happened, Unix milliseconds; None for a profile without a date."""
    if isinstance(message, Event):
        return to_ms(message.timestamp)
    if isinstance(message, Video):
        return to_ms(message.published_at)
    return None if message.created_at is None else to_ms(message.created_at)
