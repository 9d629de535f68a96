"""The fold of the user flow: (records, micro-batch of events) -> records. No I/O, no clock."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from contracts.batch import Column, Ids, Mask, Rows
from contracts.events import Action
from contracts.models import F32, Bundle, StepInputs
from contracts.settings import UserSettings
from contracts.user_record import EVENT_IDS, SEARCH_BYTES
from operators.event_columns import LONGEST_SHARE, EventColumns
from operators.features import FOLDS
from operators.features.protocol import Records, Round
from operators.offsets import advance, applied
from operators.rounds import rounds
from operators.signals import taste

# An event is timed from its own clock if that is near the broker's; else a late or replayed event
# would look like a slow engine.
_PRODUCED_WITHIN_MS: Final = 60_000


class VideoFacts(Protocol):
    """What the fold needs of a video: `operators.catalog.Catalog` has it."""

    def rows_of(self, ids: Ids) -> Rows: ...
    def columns(self, rows: Rows) -> Mapping[str, Column]: ...
    def vectors(self, rows: Rows) -> F32: ...


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
            durable: see `operators.offsets.advance`.
            now_ms: arrival time, stored as `folded_ms`.
        """
        plan = rounds(batch.rows["user"])
        work = records[plan.users]
        events = batch.rows[plan.order]
        items = self._look_up(events)
        queries = self._queries(batch, plan.order, items)
        live, no_slot = np.zeros(len(events), np.bool_), np.zeros(len(events), np.bool_)
        for part in plan:
            m = part.stop - part.start
            texts = None if queries is None else queries[part]
            live[part], no_slot[part] = self._round(
                work[:m], events[part], items[part], texts, durable, now_ms
            )
        if len(work):
            work["vector"] = self.bundle.users.read_out(work["hidden"])
        records[plan.users] = work
        return Folded(_unsort(live, plan.order), _unsort(no_slot, plan.order))

    def _look_up(self, events: NDArray[Any]) -> F32:
        """Fill the catalog's columns into the events; (n, d) vectors, zero where it has none."""
        rows = self.videos.rows_of(np.ascontiguousarray(events["video"]))
        known = np.flatnonzero((rows >= 0) & (events["video"] != 0))
        facts = self.videos.columns(rows[known])
        for name in ("category", "language", "tags"):
            events[name][known] = facts[name]
        own = events["creator"][known]
        events["creator"][known] = np.where(own != 0, own, facts["creator"])
        self._fill_watch(events, known, facts["duration_ms"])
        items = np.zeros((len(events), self.bundle.users.dim), np.float32)
        items[known] = self.videos.vectors(rows[known])
        return items

    @staticmethod
    def _fill_watch(events: NDArray[Any], known: Rows, duration_ms: Column) -> None:
        """Watched time and share say each other where the catalog knows the duration."""
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

    def _queries(self, batch: EventColumns, order: Rows, items: F32) -> NDArray[np.bytes_] | None:
        """Texts of searches as bytes, and their vectors into `items`; None if nobody searched."""
        if not batch.queries:
            return None
        place = {int(row): i for i, row in enumerate(order)}
        texts = np.zeros(len(order), f"S{SEARCH_BYTES}")
        at = [place[row] for row in batch.queries]
        items[at] = self.bundle.items.embed_texts(list(batch.queries.values()))
        texts[at] = [query.encode()[:SEARCH_BYTES] for query in batch.queries.values()]
        return texts

    def _round(
        self,
        records: Records,
        events: NDArray[Any],
        items: F32,
        queries: NDArray[np.bytes_] | None,
        durable: Mapping[int, int],
        now_ms: int,
    ) -> tuple[Mask, Mask]:
        keys, offsets = events["slot_key"], events["offset"]
        fresh = ~applied(records, keys, offsets)
        placed = advance(records, keys, offsets, durable)
        known = (records["event_ids"] == events["event_id"][:, None]).any(axis=1)
        when = np.minimum(events["ts_ms"], events["broker_ms"])
        live = fresh & placed & ~known & (when > records["forgotten_ms"])
        if live.all():
            self._apply(records, events, items, queries, now_ms)
        elif live.any():
            some = np.flatnonzero(live)
            part = records[some]
            self._apply(
                part, events[some], items[some], None if queries is None else queries[some], now_ms
            )
            records[some] = part
        return live, ~placed

    def _apply(
        self,
        records: Records,
        events: NDArray[Any],
        items: F32,
        queries: NDArray[np.bytes_] | None,
        now_ms: int,
    ) -> None:
        """One live event a record."""
        rows = np.arange(len(records))
        records["event_ids"][rows, records["ids_n"] % EVENT_IDS] = events["event_id"]
        records["ids_n"] += 1
        self._step(records, events, items)
        for name, column in (("country", "country"), ("language", "spoken"), ("device", "device")):
            records[name] = np.where(records[name] == 0, events[column], records[name])
        this = Round(events, taste(events), queries, self.settings)
        for fold in FOLDS:
            fold(records, this)
        _stamp(records, events, now_ms)

    def _step(self, records: Records, events: NDArray[Any], items: F32) -> None:
        """The tower's state after the event; the gap is to the newest event before it."""
        last = records["session_last_ms"]
        gap_s = np.where(last > 0, np.maximum(events["ts_ms"] - last, 0) / 1000, 0)
        inputs = StepInputs(
            items,
            events["action"],
            events["share"].astype(np.float32),
            gap_s.astype(np.float32),
        )
        silent = events["action"] == Action.SCROLL
        state = self.bundle.users.step(np.ascontiguousarray(records["hidden"]), inputs)
        records["hidden"] = np.where(silent[:, None], records["hidden"], state)


def _unsort(values: Mask, order: Rows) -> Mask:
    out = np.empty_like(values)
    out[order] = values
    return out


def _stamp(records: Records, events: NDArray[Any], now_ms: int) -> None:
    """Remember when the newest event was produced and folded, for the freshness histograms."""
    produced = produced_ms(events)
    newer = produced >= records["newest_ms"]
    records["newest_ms"] = np.where(newer, produced, records["newest_ms"])
    records["folded_ms"] = np.where(newer, now_ms, records["folded_ms"])


def produced_ms(events: NDArray[Any]) -> NDArray[np.int64]:
    """(n,) when each event was produced: by its own clock if near the broker's, else the broker's."""
    behind = events["broker_ms"] - events["ts_ms"]
    own = (behind >= 0) & (behind <= _PRODUCED_WITHIN_MS)
    return np.where(own, events["ts_ms"], events["broker_ms"])
