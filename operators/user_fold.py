"""The fold of the user flow: (records, micro-batch of events) -> records. No I/O, no clock.

Events go one after the other, in the order of arrival; so a batch cut anywhere folds to the same
bytes. Only the tower steps in rounds, since its products are worth doing for many people at once.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from contracts.batch import Column, Ids, Mask, Rows
from contracts.events import Action
from contracts.models import F32, MOMENT, Bundle, StepInputs
from contracts.settings import UserSettings
from contracts.user_record import new_users
from operators.duplicates import unseen
from operators.event_columns import EVENT, LONGEST_SHARE, EventColumns
from operators.features import FOLDS
from operators.features.protocol import LiveEvents, Records
from operators.features.sessions import gaps_s
from operators.offsets import NEW, NO_SLOT, admit
from operators.rounds import rounds
from operators.signals import taste

MOMENT_FIELDS: Final = list(MOMENT.names or ())


class VideoFacts(Protocol):
    """What the fold needs of a video: `operators.catalog.Catalog` has it."""

    def rows_of(self, ids: Ids) -> Rows: ...
    def columns(self, rows: Rows) -> Mapping[str, Column]: ...
    def vectors(self, rows: Rows) -> F32: ...
    def name_of(self, hash32: int) -> str | None: ...


@dataclass(frozen=True, slots=True, eq=False)
class Folded:
    """What became of the n events of a batch, in their order.

    Attributes:
        live: (n,) changed a record.
        no_slot: (n,) could not be placed: the person's events come through too many partitions.
    """

    live: Mask
    no_slot: Mask


@dataclass(frozen=True, slots=True)
class UserFold:
    """Folds events into records whose `bundle` is this one's (see `operators.derive`)."""

    bundle: Bundle
    videos: VideoFacts
    settings: UserSettings

    def __call__(
        self, records: Records, batch: EventColumns, durable: Mapping[int, int], now_ms: int
    ) -> Folded:
        """Fold `batch` into `records` in place; record i belongs to `batch.users[i]`.

        Args:
            durable: see `operators.offsets.admit`.
            now_ms: arrival time, stored as `folded_ms`.
        """
        rows = batch.rows
        verdict = admit(records, rows["user"], rows["slot_key"], rows["offset"], durable)
        live = verdict == NEW
        live[live] = unseen(records, rows[live])
        events = rows[live]  # a copy: the catalog's columns are filled in
        items = self._look_up(events)
        queries = _queries(batch.queries, live)
        if queries:
            items[list(queries)] = self.bundle.items.embed_texts(list(queries.values()))
        self._step(records, events, items)
        this = LiveEvents(events, taste(events), queries, now_ms, self.settings)
        for fold in FOLDS:
            fold(records, this)
        return Folded(live, verdict == NO_SLOT)

    def compile(self, dtype: np.dtype[Any]) -> None:
        """Compile what records of `dtype` need, so that the first event does not wait for it."""
        self(new_users(0, dtype), EventColumns(np.zeros(0, EVENT), (), {}), {}, 0)

    def _look_up(self, events: NDArray[Any]) -> F32:
        """Fill the catalog's columns into the events; (n, d) vectors, zero where it has none."""
        rows = self.videos.rows_of(np.ascontiguousarray(events["video"]))
        known = np.flatnonzero((rows >= 0) & (events["video"] != 0))
        facts = self.videos.columns(rows[known])
        for name in ("category", "language", "tags"):
            events[name][known] = facts[name]
        own = events["creator"][known]
        events["creator"][known] = np.where(own != 0, own, facts["creator"])
        fill_watch(events, known, facts["duration_ms"])
        items = np.zeros((len(events), self.bundle.users.dim), np.float32)
        items[known] = self.videos.vectors(rows[known])
        return items

    def _step(self, records: Records, events: NDArray[Any], items: F32) -> None:
        """The tower's state after the events; a gap is to the newest event before."""
        gaps = gaps_s(records, events)
        heard = np.flatnonzero(events["action"] != Action.SCROLL)
        plan = rounds(events["user"][heard])
        order = heard[plan.order]
        moments = events[MOMENT_FIELDS][order] if self.bundle.users.context else None
        inputs = StepInputs(
            items[order], events["action"][order], events["share"][order], gaps[order], moments
        )
        state = self.bundle.users.steps(records["hidden"][plan.users], inputs, plan.starts)
        records["hidden"][plan.users] = state
        records["vector"][plan.users] = self.bundle.users.read_out(state)


def fill_watch(events: NDArray[Any], known: Rows, duration_ms: Column) -> None:
    """Watched time and share say each other where the catalog knows the duration, in place.

    Args:
        events: (n,) of `EVENT`.
        known: (k,) rows whose video the catalog has.
        duration_ms: (k,) its duration, 0 unknown.
    """
    watch, share = events["watch_ms"][known], events["share"][known]
    usable = duration_ms > 0
    share = np.where(
        np.isnan(share) & usable & (watch >= 0),
        np.minimum(watch / np.maximum(duration_ms, 1), LONGEST_SHARE),
        share,
    )
    silent = (watch < 0) & usable & (events["action"][known] == Action.WATCH)
    derived = np.where(np.isnan(share), -1, np.nan_to_num(share) * duration_ms)
    events["share"][known] = share
    events["watch_ms"][known] = np.where(silent, derived, watch)


def _queries(queries: Mapping[int, str], live: Mask) -> dict[int, str]:
    """Row among the live events -> text."""
    if not queries:
        return {}
    place = np.cumsum(live) - 1
    return {int(place[row]): query for row, query in queries.items() if live[row]}
