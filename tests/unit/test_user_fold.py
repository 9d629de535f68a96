"""Laws of the user fold: cut anywhere, replayed, duplicated or late, the state is the same."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from contracts.events import Action, Event, EventType, encode_event
from contracts.ids import hash32, hash64
from contracts.settings import ModelSettings, UserSettings
from contracts.user_record import new_users, user_dtype
from contracts.videos import Video
from model_runtime import bundles
from operators.blobs import from_blobs, to_blobs
from operators.catalog import Catalog
from operators.derive import derive
from operators.event_columns import RawMessages, decode_events
from operators.features.affinities import lookup
from operators.features.history import liked_videos, recent
from operators.offsets import slot_key
from operators.profile_fold import forget
from operators.rounds import rounds
from operators.user_fold import UserFold
from tests import strategies
from tests.strategies import NOW_MS

BUNDLE = bundles.load(ModelSettings())
DTYPE = user_dtype(BUNDLE.users.hidden, BUNDLE.users.dim)
KEY = slot_key(0, "events", 0)
VIDEOS = [
    Video(f"v{i}", NOW_MS - i, f"clip {i}", category=c, creator_id=f"c{i % 3}", tags=("t", c),
          language="de", duration_ms=30_000)
    for i, c in enumerate(["cooking", "chess", "cats"] * 4)
]  # fmt: skip
CATALOG = Catalog(BUNDLE.items.dim)
CATALOG.upsert(VIDEOS, BUNDLE.items.embed(VIDEOS), [(0, i) for i in range(len(VIDEOS))])
FOLD = UserFold(BUNDLE, CATALOG, UserSettings())

users = st.sampled_from(["ann", "bob", "cy"])
videos = st.sampled_from([v.video_id for v in VIDEOS] + ["unknown"])
logs = st.lists(strategies.events(users, videos), max_size=40)


@dataclass
class State:
    """All users' records, as a flow would hold them, folded batch by batch."""

    blobs: dict[str, bytes] = field(default_factory=dict)
    live: int = 0

    def fold(self, events: Sequence[Event], first: int, durable: dict[int, int]) -> "State":
        columns, bad = decode_events(raw(events, first), 300_000)
        assert not bad
        records = from_blobs([self.blobs.get(u) for u in columns.users], DTYPE)
        derive(records, BUNDLE, CATALOG)
        self.live += int(FOLD(records, columns, durable, NOW_MS).live.sum())
        self.blobs |= dict(zip(columns.users, to_blobs(records), strict=True))
        return self

    def of(self, user: str) -> Any:
        return from_blobs([self.blobs[user]], DTYPE)[0]


def raw(events: Sequence[Event], first: int = 0) -> RawMessages:
    n = len(events)
    return RawMessages(
        [encode_event(e) for e in events],
        [e.user_id.encode() for e in events],
        np.full(n, KEY),
        np.arange(first, first + n),
        np.full(n, NOW_MS, np.int64),
    )


def clean(events: Sequence[Event]) -> State:
    return State().fold(events, 0, {KEY: 0})


def watch(video: str = "v0", at_ms: int = NOW_MS, user: str = "ann", **more: Any) -> Event:
    kind = more.pop("event_type", "watch_complete")
    n = more.pop("n", 0)
    return Event(f"{user}{video}{at_ms}{kind}{n}", user, kind, at_ms, video, **more)


@given(logs, st.lists(st.integers(0, 40), max_size=4))
@settings(max_examples=40, deadline=None)
def test_a_batch_cut_anywhere_folds_to_the_same_bytes(log: list[Event], cuts: list[int]) -> None:
    state = State()
    edges = [0, *sorted(min(c, len(log)) for c in cuts), len(log)]
    for a, b in pairwise(edges):
        state.fold(log[a:b], a, {KEY: a})
    assert state.blobs == clean(log).blobs


@given(logs, st.integers(0, 40))
@settings(max_examples=40, deadline=None)
def test_a_replay_from_any_position_changes_nothing(log: list[Event], position: int) -> None:
    state = clean(log)
    before = dict(state.blobs)
    position = min(position, len(log))
    state.fold(log[position:], position, {KEY: position})
    assert state.blobs == before


@given(logs)
@settings(max_examples=30, deadline=None)
def test_an_event_delivered_twice_counts_once(log: list[Event]) -> None:
    twice = State().fold([*log, *log], 0, {KEY: 0})
    assert twice.live == len({(e.user_id, e.event_id) for e in log})


@given(logs.filter(bool), st.randoms())
@settings(max_examples=30, deadline=None)
def test_what_commutes_does_not_depend_on_the_order_of_arrival(log: list[Event], rnd: Any) -> None:
    log = [e for e in log if e.event_type not in ("follow", "unfollow")]
    mixed = rnd.sample(log, len(log))
    one, other = clean(log), clean(mixed)
    for user in one.blobs:
        a, b = one.of(user), other.of(user)
        for name in ("events", "watches", "completes", "likes", "skips", "clicks"):
            assert a[name] == b[name]
        keys = np.array([hash32(c) for c in ("cooking", "chess", "cats")])
        np.testing.assert_allclose(
            lookup(a, "category", keys), lookup(b, "category", keys), rtol=1e-4, atol=1e-4
        )


@given(st.lists(st.integers(0, 4), max_size=30))
def test_rounds_keep_each_users_order_and_take_one_event_a_user(user: list[int]) -> None:
    plan = rounds(np.array(user, np.intp))
    assert sorted(plan.order.tolist()) == list(range(len(user)))
    seen: dict[int, list[int]] = {}
    for part in plan:
        rows = plan.order[part]
        assert [user[r] for r in rows] == plan.users[: len(rows)].tolist()
        for r in rows.tolist():
            seen.setdefault(user[r], []).append(r)
    assert all(rows == sorted(rows) for rows in seen.values())


def test_three_watches_of_one_category_turn_the_vector_to_it() -> None:
    state = clean([watch(v, NOW_MS + i) for i, v in enumerate(["v0", "v3", "v6"])]).of("ann")
    scores = BUNDLE.items.embed(VIDEOS) @ state["vector"].astype(np.float32)
    best = [VIDEOS[i].category for i in np.argsort(-scores)[:4]]
    assert best == ["cooking"] * 4
    assert lookup(state, "category", np.array([hash32("cooking")]))[0] > 0


def test_a_skip_turns_away_from_what_was_skipped() -> None:
    state = clean([watch("v1", event_type="skip", watch_ms=900)]).of("ann")
    assert lookup(state, "category", np.array([hash32("chess")]))[0] < 0
    assert liked_videos(state, 5)[0].tolist() == []


def test_an_unknown_video_enters_the_history_and_moves_no_category() -> None:
    state = clean([watch("nobody knows")]).of("ann")
    assert recent(state).ids.tolist() == [hash64("nobody knows")]
    assert state["events"] == 1
    assert not state["category_key"].any()
    assert not state["vector"].any()


def test_a_timestamp_in_the_far_future_does_not_freeze_decay() -> None:
    state = clean([watch("v0", NOW_MS + 10**12), watch("v1", NOW_MS)]).of("ann")
    assert state["affinity_ms"] == NOW_MS


def test_an_event_days_late_is_decayed_to_where_it_belongs() -> None:
    late = NOW_MS - 3 * 86_400_000  # one half-life
    state = clean([watch("v0", NOW_MS), watch("v1", late)]).of("ann")
    now, then = lookup(state, "category", np.array([hash32("cooking"), hash32("chess")]))
    assert then == pytest.approx(now / 2, rel=1e-5)


def test_a_pause_of_half_an_hour_begins_a_session() -> None:
    gap = 30 * 60_000
    times = [NOW_MS, NOW_MS + gap, NOW_MS + 2 * gap + 1]
    early = [t - 4 * gap for t in times]
    state = clean([watch("v0", t) for t in early]).of("ann")
    assert (state["sessions"], state["session_events"]) == (2, 1)


def test_the_watched_share_comes_from_the_catalog_when_the_event_has_no_duration() -> None:
    state = clean([watch("v0", event_type="watch", watch_ms=15_000)]).of("ann")
    assert recent(state).shares.tolist() == [0.5]
    assert state["share_sum"] == 0.5


def test_a_forgotten_person_is_a_stub_until_a_newer_event_comes() -> None:
    state = clean([watch("v0", NOW_MS - 1000)])
    records = from_blobs([state.blobs["ann"]], DTYPE)
    forget(records, 0, NOW_MS - 500)
    state.blobs["ann"] = to_blobs(records)[0]
    state.fold([watch("v3", NOW_MS - 900)], 1, {KEY: 1})
    assert state.of("ann")["events"] == 0
    assert not state.of("ann")["hist_video"].any()
    state.fold([watch("v6", NOW_MS)], 2, {KEY: 2})
    assert state.of("ann")["events"] == 1


def test_five_stars_draw_the_viewer_and_one_star_repels() -> None:
    rated = [Event(f"r{i}", "ann", "rate", NOW_MS, v, rating=s) for i, (v, s) in
             enumerate([("v0", 5.0), ("v1", 1.0)])]  # fmt: skip
    state = clean(rated).of("ann")
    cooking, chess = BUNDLE.items.embed(VIDEOS[:2]) @ state["vector"].astype(np.float32)
    assert cooking > 0.3 > -0.3 > chess
    assert liked_videos(state, 5)[0].tolist() == [hash64("v0")]


def test_following_again_after_leaving_counts() -> None:
    kinds: list[EventType] = ["follow", "unfollow", "follow"]
    log = [Event(f"e{i}", "ann", k, NOW_MS + i, creator_id="c9") for i, k in enumerate(kinds)]
    assert hash32("c9") in clean(log).of("ann")["follows"]
    assert hash32("c9") not in clean(log[:2]).of("ann")["follows"]


def test_a_hundred_thousand_events_of_one_person_stay_one_record() -> None:
    log = [watch(f"v{i % 12}", NOW_MS, n=i) for i in range(2000)]
    state = State()
    for a in range(0, 100_000, 2000):
        batch = [watch(e.video_id or "", NOW_MS, n=a + i) for i, e in enumerate(log)]
        state.fold(batch, a, {KEY: a})
    assert state.of("ann")["events"] == 100_000
    assert len(state.blobs["ann"]) <= DTYPE.itemsize


def test_a_state_of_another_bundle_is_derived_again_from_history() -> None:
    state = clean([watch(v, NOW_MS + i) for i, v in enumerate(["v0", "v3", "v6"])])
    records = from_blobs([state.blobs["ann"]], DTYPE)
    kept = records["vector"].copy()
    records["bundle"], records["vector"], records["hidden"] = 7, 0, 0
    assert derive(records, BUNDLE, CATALOG) == 1
    np.testing.assert_allclose(records["vector"], kept, atol=0.02)


@given(logs.filter(bool))
@settings(max_examples=20, deadline=None)
def test_a_record_comes_back_from_its_blob_and_from_its_bytes(log: list[Event]) -> None:
    records = from_blobs(list(clean(log).blobs.values()), DTYPE)
    assert from_blobs(to_blobs(records), DTYPE).tobytes() == records.tobytes()
    assert from_blobs([r.tobytes() for r in records], DTYPE).tobytes() == records.tobytes()


def test_a_blob_with_another_size_of_tower_keeps_everything_else() -> None:
    state = clean([watch("v0"), watch("v3")]).of("ann")
    wide = user_dtype(BUNDLE.users.hidden * 2, BUNDLE.users.dim)
    other: NDArray[Any] = new_users(1, wide)
    for name in DTYPE.names or ():
        if name not in ("hidden", "vector"):
            other[name] = state[name]
    records = from_blobs(to_blobs(other), DTYPE)
    derive(records, BUNDLE, CATALOG)
    np.testing.assert_allclose(records["vector"][0], state["vector"], atol=0.02)
    assert records["events"][0] == 2


def test_a_person_whose_events_come_through_many_partitions_loses_none() -> None:
    records = new_users(1, DTYPE)
    derive(records, BUNDLE, CATALOG)
    durable: dict[int, int] = {}
    for p in range(20):
        columns, _ = decode_events(raw([watch("v0", NOW_MS, n=p)]), 300_000)
        columns.rows["slot_key"] = slot_key(0, "events", p)
        durable[slot_key(0, "events", p)] = 0
        folded = FOLD(records, columns, durable, NOW_MS)
        assert folded.live.all()
        durable[slot_key(0, "events", p)] = 1  # what was read is durable: its slot may be reused
    assert records["events"][0] == 20


def test_an_event_that_finds_no_safe_slot_is_said_and_not_counted() -> None:
    records = new_users(1, DTYPE)
    derive(records, BUNDLE, CATALOG)
    durable = {slot_key(0, "events", p): 0 for p in range(9)}
    outcomes = []
    for p in range(9):
        columns, _ = decode_events(raw([watch("v0", NOW_MS, n=p)]), 300_000)
        columns.rows["slot_key"] = slot_key(0, "events", p)
        outcomes.append(bool(FOLD(records, columns, durable, NOW_MS).no_slot[0]))
    assert outcomes == [False] * 6 + [True] * 3
    assert records["events"][0] == 6
    assert Action(records["hist_action"][0, 0]) == Action.WATCH
