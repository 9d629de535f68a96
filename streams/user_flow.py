"""The user flow: events, profiles and impressions -> one blob per user in Redis.

    decode -> load blobs -> fold -> dead letters acknowledged -> compare-and-set -> position moves

Every step before the last may be repeated: offsets inside the blobs make the effect exactly-once.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

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
from operators.features.protocol import Records
from operators.features.seen import fold_shown
from operators.offsets import advance, applied
from operators.profile_fold import fold_profile, forget
from operators.rounds import rounds
from operators.user_fold import Folded, UserFold, produced_ms
from streams.dead_letters import DeadLetters
from streams.reader import PartitionReader
from streams.user_batch import ShownRow, UserBatch
from streams.user_store import Loaded, UserStore

FLOW: Final = "user-state"
_ATTEMPTS: Final = 20
_OBSERVED: Final = 64  # freshness is observed for so many events of a batch, evenly spread
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
        self.store.move(batch.source.before, batch.source.after)
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
            conflicts = self.store.write(
                batch.users, loaded.records, loaded.versions, batch.source.before
            )
        return folded, conflicts

    def _fold(self, batch: UserBatch, loaded: Loaded) -> Folded:
        records, durable, now_ms = loaded.records, loaded.durable, self.clock_ms()
        derive(records, self.fold.bundle, self.fold.videos)
        for row in batch.profiles:
            one = records[row.user : row.user + 1]
            keys, offsets = np.array([row.slot_key]), np.array([row.offset])
            if applied(one, keys, offsets)[0] or not advance(one, keys, offsets, durable)[0]:
                continue
            if row.profile is None:
                forget(records, row.user, row.at_ms)
                derive(one, self.fold.bundle, self.fold.videos)
            else:
                fold_profile(one[0], row.profile, self.fold.bundle)
        folded = self.fold(records, batch.events, durable, now_ms)
        self._fold_shown(records, batch, durable)
        return folded

    def _fold_shown(self, records: Records, batch: UserBatch, durable: dict[int, int]) -> None:
        live: list[ShownRow] = []
        for row in batch.shown:
            one = records[row.user : row.user + 1]
            keys, offsets = np.array([row.slot_key]), np.array([row.offset])
            if applied(one, keys, offsets)[0] or not advance(one, keys, offsets, durable)[0]:
                continue
            if row.at_ms > int(one["forgotten_ms"][0]):
                live.append(row)
        if not live:
            return
        sizes = [len(row.ids) for row in live]
        ids = np.concatenate([row.ids for row in live])
        at_ms = np.repeat([row.at_ms for row in live], sizes)
        plan = rounds(np.repeat(np.array([row.user for row in live], np.intp), sizes))
        work = records[plan.users]
        for part in plan:
            rows = plan.order[part]
            fold_shown(work[: len(rows)], ids[rows], at_ms[rows], self.settings.shown_for_h)
        records[plan.users] = work

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


def clock_ms() -> int:
    """Milliseconds since 1970; entry points pass it in."""
    return time.time_ns() // 1_000_000
