"""A micro-batch of the user flow, decoded: events as columns, the rarer messages as rows."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from contracts.batch import Ids
from contracts.engine_records import decode_impression
from contracts.errors import BadMessageError
from contracts.events import id_of_key
from contracts.ids import hash64_many
from contracts.profiles import Profile, decode_profile
from operators.event_columns import Bad, EventColumns, RawMessages, decode_events
from streams.batches import Batch

EVENTS, PROFILES, IMPRESSIONS = "events", "profiles", "impressions"
TOPICS: Final = (EVENTS, PROFILES, IMPRESSIONS)


@dataclass(frozen=True, slots=True)
class ProfileRow:
    """One message of `profiles`; `profile` None: forget this person as of `at_ms`."""

    user: int
    profile: Profile | None
    slot_key: int
    offset: int
    at_ms: int


@dataclass(frozen=True, slots=True, eq=False)
class ShownRow:
    """One served page; `ids` (m,) are the 64-bit hashes of its videos."""

    user: int
    ids: Ids
    slot_key: int
    offset: int
    at_ms: int


@dataclass(frozen=True, slots=True, eq=False)
class UserBatch:
    """Everything of one batch; `user` fields point into `users`.

    Attributes:
        raw_events: the messages behind `events`, row by row.
        bad: messages that could not be used, by topic.
    """

    source: Batch
    users: Sequence[str]
    events: EventColumns
    raw_events: RawMessages
    profiles: Sequence[ProfileRow]
    shown: Sequence[ShownRow]
    bad: Sequence[tuple[str, RawMessages, Sequence[Bad]]]

    def only(self, users: Sequence[int]) -> "UserBatch":
        """The part of the batch that belongs to some of its users, who are numbered anew."""
        place = {old: new for new, old in enumerate(users)}
        keep = np.flatnonzero(np.isin(self.events.rows["user"], list(users)))
        rows = self.events.rows[keep]
        rows["user"] = [place[u] for u in rows["user"].tolist()]
        back = {int(old): new for new, old in enumerate(keep)}
        queries = {back[row]: q for row, q in self.events.queries.items() if row in back}
        names = [self.users[u] for u in users]
        return replace(
            self,
            users=names,
            events=EventColumns(rows, names, queries),
            raw_events=self.raw_events.take(keep.tolist()),
            profiles=[replace(p, user=place[p.user]) for p in self.profiles if p.user in place],
            shown=[replace(s, user=place[s.user]) for s in self.shown if s.user in place],
            bad=(),
        )


_NOTHING: Final = RawMessages(
    (), (), np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.int64)
)


def decode_batch(batch: Batch, tolerance_ms: int) -> UserBatch:
    """Decode all topics of a batch; what cannot be used is in `bad`, nothing raises."""
    raw = batch.messages.get(EVENTS, _NOTHING)
    events, bad_events = decode_events(raw, tolerance_ms)
    wrong = {b.index for b in bad_events}
    good = raw.take([i for i in range(len(raw)) if i not in wrong]) if wrong else raw
    users = {user: i for i, user in enumerate(events.users)}
    profiles, bad_profiles = _profiles(batch.messages.get(PROFILES, _NOTHING), users)
    shown, bad_shown = _shown(batch.messages.get(IMPRESSIONS, _NOTHING), users)
    found = ((EVENTS, bad_events), (PROFILES, bad_profiles), (IMPRESSIONS, bad_shown))
    bad = [(topic, batch.messages[topic], letters) for topic, letters in found if letters]
    names = list(users)
    columns = EventColumns(events.rows, names, events.queries)
    return UserBatch(batch, names, columns, good, profiles, shown, bad)


def _profiles(raw: RawMessages, users: dict[str, int]) -> tuple[list[ProfileRow], list[Bad]]:
    rows, bad = [], []
    for i, value in enumerate(raw.values):
        try:
            profile = None if value is None else decode_profile(value)
            user_id = id_of_key(raw.keys[i], "profile") if profile is None else profile.user_id
        except BadMessageError as e:
            bad.append(Bad(i, str(e)))
            continue
        user = users.setdefault(user_id, len(users))
        place = int(raw.slot_keys[i]), int(raw.offsets[i]), int(raw.broker_ms[i])
        rows.append(ProfileRow(user, profile, *place))
    return rows, bad


def _shown(raw: RawMessages, users: dict[str, int]) -> tuple[list[ShownRow], list[Bad]]:
    rows, bad = [], []
    for i, value in enumerate(raw.values):
        try:
            page = decode_impression(value or b"")
        except BadMessageError as e:
            bad.append(Bad(i, str(e)))
            continue
        user = users.setdefault(page.user_id, len(users))
        at = int(raw.slot_keys[i]), int(raw.offsets[i]), int(raw.broker_ms[i])
        rows.append(ShownRow(user, hash64_many(page.video_ids), *at))
    return rows, bad
