"""All videos as columns, in the memory of the process that needs them.

A gather of 500 rows costs microseconds and no network read. One writer thread; readers never lock.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from contracts.batch import Column, Ids, Mask, Rows
from contracts.ids import hash64, hash64_many
from contracts.videos import Video
from operators.catalog_rows import LIVE, CatalogRows, creator_keys, encode, time_keys
from operators.country_sets import CountrySets
from operators.id_table import IdTable
from operators.names import Names
from operators.row_order import NO_KEY, RowOrder
from operators.versions import Removed, Version, is_older

F32 = NDArray[np.float32]
# A freed row rests before it is used again, since a reader holds its rows for one request: so many
# seconds, or until so many others were freed, which one request does not see either.
_REST_S: Final = 30.0
_RESTING: Final = 65_536
_GAP_S: Final = 1.0  # between two writes; a longer one counts as so much
_NEWEST: Final = 320  # what the feed's sources ask for at most, as a rule
_GROWTH: Final = 4  # unused rows are not resident, and few growths copy little


class Catalog:
    """Columnar catalog.

    A row number stays with its video while it lives; -1 is "no video" and reads as the defaults.

    Args:
        dim: of the vectors.
        capacity: rows to begin with; it grows.
        clock: seconds, monotonic.
    """

    def __init__(
        self, dim: int, capacity: int = 1024, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.dim, self._clock = dim, clock
        self._rows = CatalogRows.empty(max(capacity, 1), dim)
        self._table = IdTable()
        self._used = 0
        self._freed: deque[tuple[float, int]] = deque()  # when, and which row; the oldest first
        self._seen_s, self._looked_s = 0.0, clock()
        self._removed = Removed()
        self._countries = CountrySets()
        self._names = Names()
        self._by_time = RowOrder(lambda rows: time_keys(self._rows.gather(rows)))
        self._by_creator = RowOrder(lambda rows: creator_keys(self._rows.gather(rows)))
        self._writes, self._newest = (
            0,
            (-1, 0, np.empty(0, np.int64)),
        )  # of which write, asked, found
        self._writing = threading.RLock()

    def __len__(self) -> int:
        """Live videos."""
        return len(self._table)

    def upsert(self, videos: Sequence[Video], vectors: F32, versions: Sequence[Version]) -> Mask:
        """Add or replace videos; of a repeated one the last counts.

        Args:
            videos: n of them.
            vectors: (n, d) float32, kept in half precision.
            versions: partition and offset of each on topic `videos`.

        Returns:
            (n,) False where the stored version is newer, and nothing changed.

        Raises:
            ValueError: on vectors of another shape, or not finite; nothing changed.
        """
        vectors = np.asarray(vectors, np.float32)
        if vectors.shape != (len(videos), self.dim) or len(versions) != len(videos):
            raise ValueError(f"{len(videos)} videos, vectors {vectors.shape}, dim {self.dim}")
        if not np.isfinite(vectors).all():
            raise ValueError("a vector has a value that is not finite")
        if not videos:
            return np.zeros(0, np.bool_)
        with self._writing:
            ids = hash64_many([v.video_id for v in videos])
            accepted, last = self._accept(ids, versions)
            if len(last):
                kept = [videos[i] for i in last]
                self._write(ids[last], kept, vectors[last], [versions[i] for i in last])
        return accepted

    def remove(self, video_id: str, version: Version | None = None) -> bool:
        """Take a video out; whether it was there (and not newer than `version`)."""
        video = hash64(video_id)
        with self._writing:
            row = int(self._table.get(np.array([video], np.int64))[0])
            stored = self._version(row) if row >= 0 else self._removed.version(video)
            if version is not None and is_older(version, stored):
                return False
            last = version or stored
            if last is not None:
                self._removed.remember(video, last)
            if row < 0:
                return False
            self._table.drop(np.array([video], np.int64))
            self._rows.records["flags"][row] &= ~np.uint8(LIVE)
            self._by_time.outdated(1)
            self._by_creator.outdated(1)
            self._freed.append((self._now_s(), row))
            self._writes += 1
            return True

    def rows_of(self, ids: Ids) -> Rows:
        """(n,) row of each id, -1 unknown or removed."""
        return self._table.get(ids).astype(np.intp)

    def stand_at(self, ids: Ids, versions: Ids) -> Mask:
        """(n,) whether each video is there in exactly this version: (n, 2) partition and offset."""
        rows = self.rows_of(ids)
        records = self._rows.gather(rows)
        there = (records["partition"] == versions[:, 0]) & (records["offset"] == versions[:, 1])
        return np.asarray((rows >= 0) & there)

    def still_at(self, rows: Rows, ids: Ids) -> Mask:
        """(n,) whether each row has this video, and it lives: for rows that were looked up before."""
        records = self._rows.gather(rows)
        return np.asarray((rows >= 0) & (records["id"] == ids) & ((records["flags"] & LIVE) != 0))

    def columns(self, rows: Rows) -> dict[str, Column]:
        """The `VIDEO_COLUMNS` of these rows; the defaults for row -1."""
        return self._rows.columns(rows)

    def vectors(self, rows: Rows) -> F32:
        """(n, d) float32; zeros for row -1."""
        return self._rows.vectors(rows)

    def allowed_in(self, country: int, rows: Rows) -> Mask:
        """(n,) whether each may be shown there. Unknown (0) sees what is allowed everywhere."""
        return self._countries.allowed(country, self._rows.gather(rows)["countries"])

    def video_id(self, row: int) -> str:
        """The id on the wire."""
        return str(self._rows.video_ids[row])

    def title(self, row: int) -> str:
        """Empty where none was given."""
        return str(self._rows.titles[row])

    def thumbnail_url(self, row: int) -> str | None:
        """None where none was given."""
        url: str | None = self._rows.thumbnails[row]
        return url

    def name_of(self, hash32: int) -> str | None:
        """The readable name of a category, creator, tag or language that the catalog has seen."""
        return self._names.get(hash32)

    def live_ids(self) -> Ids:
        """(len(self),) ids, in no particular order."""
        records = self._rows.records[: self._used]
        ids: Ids = records["id"][(records["flags"] & LIVE) != 0]
        return ids

    def newest(self, n: int) -> Ids:
        """Most recently published live videos, newest first, at most n.

        Several sources of a feed ask, and many feeds between two writes: all but the first one find
        it done.
        """
        writes, asked, found = self._newest
        if writes != self._writes or asked < n:
            writes, asked = self._writes, max(n, _NEWEST)
            everything = np.zeros(1, np.uint64), np.full(1, NO_KEY)
            found = self._newest_of(self._by_time.first(*everything, asked), asked)
            self._newest = writes, asked, found
        return found[: max(n, 0)].copy()

    def by_creators(self, creators: NDArray[np.uint32], n: int) -> Ids:
        """The newest live videos of these creators, newest first, at most n in all.

        Of each creator about 2n candidates are looked at, those out of date among them.
        """
        low = np.unique(np.asarray(creators, np.uint64)) << np.uint64(32)
        low = low[low != 0]
        if not len(low) or n <= 0:
            return np.empty(0, np.int64)
        return self._newest_of(self._by_creator.first(low, low + np.uint64(2**32 - 1), n), n)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """While inside, the writer waits: for a consistent copy. Readers go on."""
        with self._writing:
            yield

    def state(self) -> dict[str, NDArray[Any] | bytes]:
        """All that a snapshot needs, as arrays and bytes. Rows are renumbered in it."""
        with self._writing:
            live = np.flatnonzero(self._rows.records["flags"][: self._used] & LIVE)
            return {
                **self._rows.state(live),
                "country_sets": self._countries.state(),
                "removed": self._removed.state(),
                **self._names.state(),
            }

    @classmethod
    def restore(cls, state: Mapping[str, NDArray[Any] | bytes]) -> "Catalog":
        """The catalog of `state`."""
        rows = CatalogRows.restore(state)
        catalog = cls(rows.halves.shape[1])
        catalog._rows, catalog._used = rows, len(np.asarray(state["records"]))
        catalog._countries = CountrySets.restore(np.asarray(state["country_sets"]))
        catalog._removed = Removed.restore(np.asarray(state["removed"]))
        catalog._names = Names.restore(state)
        numbers = np.arange(catalog._used, dtype=np.int32)
        records = rows.records[: catalog._used]
        catalog._table.put(records["id"], numbers)
        catalog._by_time.start(time_keys(records), numbers)
        catalog._by_creator.start(creator_keys(records), numbers)
        return catalog

    def _accept(self, ids: Ids, versions: Sequence[Version]) -> tuple[Mask, Rows]:
        """(n,) which are not older than what is stored; of each accepted id its last place."""
        rows = self._table.get(ids)
        accepted = np.ones(len(ids), np.bool_)
        last: dict[int, int] = {}
        for i, (video, row) in enumerate(zip(ids.tolist(), rows.tolist(), strict=True)):
            if video in last:
                stored: Version | None = versions[last[video]]
            else:
                stored = self._version(row) if row >= 0 else self._removed.version(video)
            if is_older(versions[i], stored):
                accepted[i] = False
            else:
                last[video] = i
        return accepted, np.fromiter(last.values(), np.intp, len(last))

    def _write(
        self, ids: Ids, videos: Sequence[Video], vectors: F32, versions: Sequence[Version]
    ) -> None:
        """Distinct videos, accepted. The table comes last: it publishes new rows."""
        numbers = self._table.get(ids)
        new = np.flatnonzero(numbers < 0)
        numbers[new] = self._allocate(len(new))
        rows, before = self._rows, self._rows.gather(numbers.astype(np.intp))
        records = encode(ids, videos, versions, self._names, self._countries)
        rows.halves[numbers] = vectors
        for number, video in zip(numbers.tolist(), videos, strict=True):
            rows.video_ids[number] = video.video_id
            rows.titles[number] = video.title
            rows.thumbnails[number] = video.thumbnail_url
        rows.records[numbers] = records
        if self._countries.crowded:
            self._countries.sweep(rows.records["countries"][: self._used])
        self._table.put(ids[new], numbers[new])
        for video in ids[new].tolist():
            self._removed.forget(video)
        for order, key_of in ((self._by_time, time_keys), (self._by_creator, creator_keys)):
            old, keys = key_of(before), key_of(records)
            moved = old != keys
            placed = moved & (keys != NO_KEY)
            order.add(keys[placed], numbers[placed])
            order.outdated(int(np.count_nonzero(moved & (old != NO_KEY))))
        self._writes += 1

    def _allocate(self, n: int) -> NDArray[np.int32]:
        """Free rows: those long out of use, then new ones."""
        out, rested_s = list[int](), self._now_s() - _REST_S
        while len(out) < n and self._freed:
            if self._freed[0][0] > rested_s and len(self._freed) <= _RESTING:
                break
            out.append(self._freed.popleft()[1])
        end = self._used + n - len(out)
        if end > self._rows.capacity:
            self._rows = self._rows.grown(max(_GROWTH * self._rows.capacity, end), self._used)
        out.extend(range(self._used, end))
        self._used = end
        return np.array(out, np.int32)

    def _now_s(self) -> float:
        """Seconds that the writer has seen pass: while a process is stopped its readers rest too."""
        now_s = self._clock()
        self._seen_s += min(now_s - self._looked_s, _GAP_S)
        self._looked_s = now_s
        return self._seen_s

    def _version(self, row: int) -> Version:
        record = self._rows.records[row]
        return int(record["partition"]), int(record["offset"])

    def _newest_of(self, rows: NDArray[np.int32], n: int) -> Ids:
        records = self._rows.gather(rows.astype(np.intp))
        records = records[(records["flags"] & LIVE) != 0]
        ids: Ids = records["id"][np.argsort(time_keys(records), kind="stable")[: max(n, 0)]]
        return ids
