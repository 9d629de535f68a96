"""The KuaiRand files: a week of a short-video app's log, as Headrace's messages.

Only the published columns are read. The per-video statistics in the item file are aggregates over
the whole month, later days included, and are left out: a system in production could not know them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Final

import xxhash

from contracts.engine_records import Impression
from contracts.errors import ConfigError
from contracts.events import MAX_TIMESTAMP_MS, Context, Event, EventType
from contracts.profiles import Profile
from contracts.units import DAY_MS
from contracts.videos import Video
from headrace.replay.parquet import open_parquet, rows_of
from headrace.replay.rows import Kind, Message, Refused

ITEMS: Final = "item_features.parquet"
USERS: Final = "user_features.parquet"
_LOGS: Final = "log_*.parquet"
# What makes a row what it is: two rows with equal values are one delivery made twice.
LOG_COLUMNS: Final = (
    "user_id", "video_id", "time_ms", "is_click", "is_like", "is_follow", "is_comment",
    "is_forward", "is_hate", "long_view", "play_time_ms", "duration_ms", "tab",
)  # fmt: skip
_SKIP_MS: Final = 2000  # a play shorter than this, and than a fifth of the video, is a skip
_SKIP_SHARE: Final = 0.2
_LONGEST_MS: Final = 7 * DAY_MS
_CHINA: Final = timezone(timedelta(hours=8))  # upload dates are days there
_AFTER: Final[tuple[tuple[str, EventType], ...]] = (
    ("is_like", "like"),
    ("is_follow", "follow"),
    ("is_comment", "comment"),
    ("is_forward", "share"),
    ("is_hate", "not_interested"),
)


def is_kuairand(folder: Path) -> bool:
    """Is it a folder of these files?"""
    return folder.is_dir() and (folder / ITEMS).is_file() and any(folder.glob(_LOGS))


def find(folder: Path) -> Path | None:
    """The folder itself or one right below it that holds these files."""
    below = sorted(folder.iterdir()) if folder.is_dir() else []
    return next((path for path in (folder, *below) if is_kuairand(path)), None)


def sources(
    folder: Path, countries: Sequence[str] = (), country: str | None = None
) -> list["Items | Users | Log"]:
    """Everything in the folder: videos, profiles of people in the log, and the log.

    Args:
        folder: with the files.
        countries: where the videos may be shown; () = everywhere. The data set does not say.
        country: of every profile; None = unknown.
    """
    logs = [Log(path) for path in sorted(folder.glob(_LOGS))]
    found: list[Items | Users | Log] = [Items(folder / ITEMS, tuple(countries))]
    if (folder / USERS).is_file():
        found.append(Users(folder / USERS, logs, country))
    return [*found, *logs]


class _File:
    """A Parquet file whose rows become messages by `_messages`."""

    kind: Kind
    columns: tuple[str, ...]

    def __init__(self, path: Path) -> None:
        file = open_parquet(path)
        if missing := set(self.columns) - set(file.schema_arrow.names):
            raise ConfigError(f"{path} is no KuaiRand file: no column {', '.join(sorted(missing))}")
        self.path = path
        self.size: int = file.metadata.num_rows
        self.done = 0

    def _messages(self, row: dict[str, Any]) -> Iterator[Message]:
        raise NotImplementedError

    def __iter__(self) -> Iterator[Message | Refused]:
        """Every row, in order."""
        self.done = 0
        for row in rows_of(open_parquet(self.path), list(self.columns)):
            self.done += 1
            try:
                yield from self._messages(row)
            except (ValueError, TypeError, OverflowError) as e:
                yield Refused(self.path, self.done, f"{type(e).__name__}: {e}")


class Items(_File):
    """Videos: no titles in the data set, so a video is its tags, its creator and its length."""

    kind = Kind.VIDEOS
    columns = ("video_id", "author_id", "upload_dt", "video_duration", "tag")

    def __init__(self, path: Path, countries: tuple[str, ...] = ()) -> None:
        super().__init__(path)
        self._countries = countries

    def _messages(self, row: dict[str, Any]) -> Iterator[Message]:
        tags = _tags(row["tag"])
        length_ms = row["video_duration"]  # named so, but in milliseconds
        yield Video(
            f"v_{int(row['video_id'])}",
            _day_ms(row["upload_dt"]),
            tags=tags,
            category=tags[0] if tags else None,
            language="zh",
            countries=self._countries,
            creator_id=f"c_{int(row['author_id'])}",
            duration_ms=None if length_ms is None else _bounded(length_ms),
        )


class Users(_File):
    """Profiles of those who are in the log, of which the data set tells since when."""

    kind = Kind.PROFILES
    columns = ("user_id", "register_days")

    def __init__(self, path: Path, logs: Sequence["Log"], country: str | None) -> None:
        super().__init__(path)
        self._logs = tuple(logs)
        self._country = country
        self._present: frozenset[int] = frozenset()
        self._began_ms = 0

    def __iter__(self) -> Iterator[Message | Refused]:
        """Every person of the log, in the file's order."""
        seen = [log.people_and_start() for log in self._logs]
        self._present = frozenset().union(*(people for people, _ in seen))
        self._began_ms = min(start for _, start in seen)
        return super().__iter__()

    def _messages(self, row: dict[str, Any]) -> Iterator[Message]:
        if row["user_id"] not in self._present:
            return
        days = max(int(row["register_days"] or 0), 0)
        yield Profile(
            f"u_{int(row['user_id'])}",
            country=self._country,
            language="zh",
            created_at=self._began_ms - days * DAY_MS,
        )


class Log(_File):
    """Impressions with what came of them: each becomes no event, one or several."""

    kind = Kind.EVENTS
    columns = LOG_COLUMNS

    def people_and_start(self) -> tuple[frozenset[int], int]:
        """(user ids of the log, time of its first row)."""
        rows = rows_of(open_parquet(self.path), ["user_id", "time_ms"])
        people, start = set(), MAX_TIMESTAMP_MS
        for row in rows:
            people.add(row["user_id"])
            start = min(start, row["time_ms"] or MAX_TIMESTAMP_MS)
        return frozenset(people), start

    def pages(self) -> Iterator[Impression]:
        """Each row as the impression that it is: a page of one video, whose place is not told."""
        for row in rows_of(open_parquet(self.path), list(self.columns)):
            yield Impression(
                request_id=_page(row), user_id=f"u_{int(row['user_id'])}",
                at_ms=int(row["time_ms"]), surface=_surface(row), bundle="",
                variant="", rung="recorded", country=None,
                video_ids=(f"v_{int(row['video_id'])}",), positions=(0,), propensities=(1.0,),
            )  # fmt: skip

    def _messages(self, row: dict[str, Any]) -> Iterator[Message]:
        about = _About(
            _page(row),
            f"u_{int(row['user_id'])}",
            f"v_{int(row['video_id'])}",
            int(row["time_ms"]),
            Context(surface=_surface(row)),
        )
        played, whole = int(row["play_time_ms"] or 0), int(row["duration_ms"] or 0)
        if row["is_click"]:
            yield about.event("click")
        if played > 0:
            skipped = played < _SKIP_MS and (not whole or played < _SKIP_SHARE * whole)
            yield about.event(
                "skip" if skipped else "watch",
                watch_ms=_bounded(played),
                duration_ms=_bounded(whole) if whole else None,
            )
        for column, event_type in _AFTER:
            if row[column]:
                yield about.event(event_type)


@dataclass(frozen=True, slots=True)
class _About:
    """What the events of one row share."""

    page: str
    user_id: str
    video_id: str
    at_ms: int
    context: Context

    def event(self, event_type: EventType, **more: int | None) -> Event:
        return Event(
            event_id=f"{self.page}_{event_type}",
            user_id=self.user_id,
            event_type=event_type,
            timestamp=self.at_ms,
            video_id=self.video_id,
            context=self.context,
            **more,  # type: ignore[arg-type]  # watch_ms and duration_ms only
        )


def page_id(event_id: str) -> str:
    """The page that an event came of.

    >>> page_id("kr_0123456789abcdef_not_interested")
    'kr_0123456789abcdef'
    """
    return "_".join(event_id.split("_")[:2])


def _surface(row: dict[str, Any]) -> str:
    return f"tab_{int(row['tab'])}"


def _page(row: dict[str, Any]) -> str:
    content = "|".join(str(row[name]) for name in LOG_COLUMNS)
    return f"kr_{xxhash.xxh3_64_hexdigest(content.encode())}"


def _tags(text: str | None) -> tuple[str, ...]:
    """The tags of "39,68", the first of which is the category; () for "unknown".

    >>> _tags("39,68")
    ('t39', 't68')
    """
    parts = [part.strip() for part in (text or "").split(",")]
    return tuple(f"t{part}" for part in parts if part and part != "unknown")


def _day_ms(day: str) -> int:
    """Midnight in China of "2022-04-10", Unix milliseconds.

    Raises:
        ValueError: not a date.
    """
    moment = datetime.strptime(day, "%Y-%m-%d").replace(tzinfo=_CHINA)
    return int(moment.astimezone(UTC).timestamp() * 1000)


def _bounded(milliseconds: float) -> int:
    return min(max(int(milliseconds), 0), _LONGEST_MS)
