"""A training log in memory: the fold's own event rows, in the order of arrival, and what they name."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from contracts.batch import Rows
from contracts.errors import DatasetError
from contracts.ids import hash64_many
from contracts.profiles import Profile
from contracts.videos import Video
from model_runtime.training.layout import About, read_about
from model_runtime.training.reading import EventRows, read_events, read_profiles, read_videos
from operators.event_columns import EVENT, RawMessages, columns_of
from operators.offsets import slot_key
from operators.signals import taste
from operators.user_fold import fill_watch

TOLERANCE_MS: Final = 300_000  # as in the stream: a later clock than the broker's is not believed
LIKED: Final = 1.0  # taste of a click, of half a video watched, of four stars


@dataclass(frozen=True, slots=True, eq=False)
class Log:
    """n events; what one event_id says again is left out.

    Attributes:
        rows: (n,) of `operators.event_columns.EVENT` as the stream decodes them, by arrival
            (`broker_ms`); ties in the order of the files. `user` points into `users`, `offset` is
            the row.
        share: (n,) float32 watched share, of a rating its share of five stars, as far as the event
            or the video's duration tells it; NaN unknown.
        item: (n,) int32 into `videos`, -1 where the event names none.
        videos: those published, in the order of their file, then those that only events name.
        published: how many of `videos` come from the file; the stream's catalog knows these alone.
        profiles: user id -> profile.
        queries: row -> text of a search.
        requests: (n,) hash64 of the request that an event came of, 0 unknown.
        repeated: events left out since their id was there before.
    """

    about: About
    users: Sequence[str]
    rows: NDArray[Any]
    share: NDArray[np.float32]
    item: NDArray[np.int32]
    videos: Sequence[Video]
    published: int
    profiles: Mapping[str, Profile]
    queries: Mapping[int, str]
    requests: NDArray[np.int64]
    repeated: int

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def liked(self) -> NDArray[np.bool_]:
        """(n,) events about a video that say at least as much as a click does."""
        said = np.zeros(len(self.rows), [("action", "u1"), ("share", "f4")])
        said["action"], said["share"] = self.rows["action"], self.share
        out: NDArray[np.bool_] = (taste(said) >= LIKED) & (self.item >= 0)
        return out


def read_log(folder: Path) -> Log:
    """The whole log of a folder.

    Raises:
        DatasetError: something is missing or cannot be used, or there is nothing to learn from:
            no event, most of them told twice, one person, one video, nothing that anybody liked.
    """
    about, videos = read_about(folder), read_videos(folder)
    log = _assemble(about, videos, read_profiles(folder), read_events(folder))
    _worth_learning(log, folder)
    return log


def _assemble(
    about: About, videos: list[Video], profiles: Mapping[str, Profile], events: Iterator[EventRows]
) -> Log:
    known, users = len(videos), dict[str, int]()
    index = {video.video_id: i for i, video in enumerate(videos)}
    rows, items, requests, queries = [], [], [], dict[int, str]()
    read = 0
    for part in events:
        columns = columns_of(part.events, _raw(part, read), TOLERANCE_MS)
        local = np.array([users.setdefault(user, len(users)) for user in columns.users], np.intp)
        columns.rows["user"] = local[columns.rows["user"]]
        rows.append(columns.rows)
        items.append(_items(part, columns.rows, index, videos))
        requests.append(_hashes(part.requests))
        queries |= {read + row: text for row, text in columns.queries.items()}
        read += len(part.events)
    whole = np.concatenate(rows) if rows else np.zeros(0, EVENT)
    item = np.concatenate(items) if items else np.zeros(0, np.int32)
    keep = _in_order(whole)
    whole, item = whole[keep], item[keep]
    whole["offset"] = np.arange(len(whole))
    place = {int(old): new for new, old in enumerate(keep)} if queries else {}
    return Log(
        about, list(users), whole, _shares(whole, item, videos), item, videos, known, profiles,
        {place[row]: text for row, text in queries.items() if row in place},
        (np.concatenate(requests) if requests else np.zeros(0, np.int64))[keep], read - len(keep),
    )  # fmt: skip


def _raw(part: EventRows, first: int) -> RawMessages:
    """Where the events would lie in a topic of one partition."""
    n = len(part.events)
    slot = np.full(n, slot_key(0, "events", 0), np.int64)
    nothing = [None] * n
    return RawMessages(nothing, nothing, slot, np.arange(first, first + n), part.arrived_ms)


def _items(
    part: EventRows, rows: NDArray[Any], index: dict[str, int], videos: list[Video]
) -> NDArray[np.int32]:
    """(n,) into `videos`; a video that only events name is added with nothing but its id."""
    out = np.full(len(rows), -1, np.int32)
    for i, event in enumerate(part.events):
        if event.video_id is not None:
            found = index.get(event.video_id)
            if found is None:
                found = index[event.video_id] = len(videos)
                videos.append(Video(event.video_id, max(int(rows["ts_ms"][i]), 1)))
            out[i] = found
    return out


def _hashes(requests: Sequence[str | None]) -> NDArray[np.int64]:
    return np.where([r is None for r in requests], 0, hash64_many([r or "" for r in requests]))


def _shares(
    rows: NDArray[Any], item: NDArray[np.int32], videos: Sequence[Video]
) -> NDArray[np.float32]:
    """(n,) watched shares, filled in as the stream does it."""
    known: Rows = np.flatnonzero(item >= 0)
    duration = np.array([video.duration_ms or 0 for video in videos] or [0], np.int32)
    filled = rows.copy()
    fill_watch(filled, known, duration[item[known]])
    share: NDArray[np.float32] = filled["share"].copy()
    return share


def _in_order(rows: NDArray[Any]) -> Rows:
    """Rows by arrival, each person's event id once."""
    pair = np.stack([rows["user"].astype(np.int64), rows["event_id"].astype(np.int64)])
    order = np.lexsort((rows["offset"], rows["broker_ms"], pair[1], pair[0]))
    again = (np.diff(pair[:, order], axis=1) == 0).all(axis=0)
    first = np.sort(order[np.r_[True, ~again]]) if len(order) else order
    return first[np.argsort(rows["broker_ms"][first], kind="stable")]


def _worth_learning(log: Log, folder: Path) -> None:
    people = len(np.unique(log.rows["user"]))
    seen = len(np.unique(log.item[log.item >= 0]))
    if not len(log):
        raise DatasetError(f"{folder} has no events")
    if log.repeated > len(log):
        raise DatasetError(
            f"{folder}: {log.repeated:,} of {log.repeated + len(log):,} events repeat an event_id of that "
            "person, and do not count: each needs its own"
        )
    if people < 2:
        raise DatasetError(
            f"{folder} has events of one person only: there is nobody to compare with"
        )
    if seen < 2:
        raise DatasetError(
            f"{folder} has events about {seen} video only: there is nothing to choose"
        )
    if not log.liked.any():
        raise DatasetError(
            f"{folder} has {len(log):,} events, and none says that a video was liked (a click, a "
            "like, half a video watched, four stars): there is nothing to learn"
        )
