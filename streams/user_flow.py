"""The user flow: events, profiles and impressions -> one blob per user in Redis.

    decode -> load blobs -> fold -> dead letters acknowledged -> compare-and-set -> position moves

Every step before the last may be repeated: offsets inside the blobs make the effect exactly-once.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

import numpy as np

from contracts.errors import UnavailableError
from contracts.events import Action
from contracts.metrics import (
    BATCH_SECONDS,
    CONFLICTS,
    DUPLICATES,
    EVENT_LAG,
    EVENT_TO_STATE,
    EVENTS,
)
from contracts.settings import UserSettings
from operators.derive import derive
from operators.event_columns import Bad
from operators.features.context import produced_ms
from operators.features.protocol import Records
from operators.features.seen import fold_shown
from operators.offsets import NEW, admit
from operators.profile_fold import fold_profile, forget
from operators.user_fold import Folded, UserFold
from streams.dead_letters import DeadLetters
from streams.reader import PartitionReader
from streams.user_batch import ProfileRow, ShownRow, UserBatch
from streams.user_store import Loaded, UserStore

FLOW: Final = "user-state"
R = TypeVar("R", ProfileRow, ShownRow)
_ATTEMPTS: Final = 20
_OBSERVED: Final = 16  # freshness is observed for so many events of a batch, evenly spread
_NO_SLOT: Final = "this person's events come through more partitions at once than a record can hold"


@dataclass(frozen=True, slots=True)
class UserWriter:
    """The sink's step: one batch, durable when `write` returns."""

    store: UserStore
    fold: UserFold
    settings: UserSettings
    letters: DeadLetters
    reader: PartitionReader
    clock_ms: Callable[[], int]

    def write(self, batch: UserBatch) -> None:
        """Fold and store one batch, then move its positions.

        Raises:
            FencedError: the stored positions moved; the batch has to be read again.
            UnavailableError, redis.RedisError: try again; nothing is counted twice.
        """
        for topic, raw, bad in batch.bad:
            self.letters.send(topic, raw, bad, "malformed")
        part, folded = batch, self._attempt(batch)
        self._observe(batch, folded[0])
        for _ in range(_ATTEMPTS):
            if not folded[1]:
                break
            CONFLICTS.inc(len(folded[1]))
            part = part.only(folded[1])
            folded = self._attempt(part)
        else:
            raise UnavailableError("other writers keep changing the same users")
        self.reader.stored(batch.source.after)

    def _attempt(self, batch: UserBatch) -> tuple[Folded, list[int]]:
        """Load, fold, write; the fold's outcome and the users whose blob changed meanwhile."""
        with BATCH_SECONDS.labels(FLOW, "load").time():
            loaded = self.store.load(batch.users)
        with BATCH_SECONDS.labels(FLOW, "fold").time():
            folded = self._fold(batch, loaded)
        no_slot = [Bad(int(i), _NO_SLOT) for i in np.flatnonzero(folded.no_slot)]
        self.letters.send("events", batch.raw_events, no_slot, "partitions")
        with BATCH_SECONDS.labels(FLOW, "write").time():
            source = batch.source
            conflicts = self.store.write(
                batch.users, loaded.records, loaded.versions, source.before, source.after
            )
        return folded, conflicts

    def _fold(self, batch: UserBatch, loaded: Loaded) -> Folded:
        records, durable, now_ms = loaded.records, loaded.durable, self.clock_ms()
        derive(records, self.fold.bundle, self.fold.videos)
        for row in _admitted(records, batch.profiles, durable):
            one = records[row.user : row.user + 1]
            if row.profile is None:
                forget(records, row.user, row.at_ms)
                derive(one, self.fold.bundle, self.fold.videos)
            else:
                fold_profile(one[0], row.profile, self.fold.bundle)
        folded = self.fold(records, batch.events, durable, now_ms)
        self._fold_shown(records, _admitted(records, batch.shown, durable))
        return folded

    def _fold_shown(self, records: Records, pages: Sequence[ShownRow]) -> None:
        forgotten_ms = records["forgotten_ms"]
        pages = [page for page in pages if page.at_ms > forgotten_ms[page.user]]
        if not pages:
            return
        sizes = [len(page.ids) for page in pages]
        users = np.repeat(np.array([page.user for page in pages], np.intp), sizes)
        at_ms = np.repeat(np.array([page.at_ms for page in pages], np.int64), sizes)
        ids = np.concatenate([page.ids for page in pages])
        fold_shown(records, users, ids, at_ms, self.settings.shown_for_h)

    def _observe(self, batch: UserBatch, folded: Folded) -> None:
        events = batch.events.rows
        counts = np.bincount(events["action"][folded.live], minlength=len(Action))
        for action in np.flatnonzero(counts).tolist():
            EVENTS.labels(Action(action).name.lower()).inc(int(counts[action]))
        DUPLICATES.inc(int((~folded.live & ~folded.no_slot).sum()))
        if not len(events):
            return
        now_ms = self.clock_ms()
        EVENT_LAG.labels(FLOW).set(max(now_ms - int(events["ts_ms"].max()), 0) / 1000)
        sample = events[:: max(len(events) // _OBSERVED, 1)]
        for delay_ms in (now_ms - produced_ms(sample)).tolist():
            EVENT_TO_STATE.observe(max(delay_ms, 0) / 1000)


def _admitted(records: Records, rows: Sequence[R], durable: Mapping[int, int]) -> list[R]:
    """Those that are not folded yet; each record notes its own."""
    if not rows:
        return []
    users, keys, offsets = (
        np.array(column, np.int64)
        for column in zip(*((row.user, row.slot_key, row.offset) for row in rows), strict=True)
    )
    verdict = admit(records, users, keys, offsets, durable)
    return [row for row, said in zip(rows, verdict.tolist(), strict=True) if said == NEW]


def clock_ms() -> int:
    """Milliseconds since 1970; entry points pass it in."""
    return time.time_ns() // 1_000_000
