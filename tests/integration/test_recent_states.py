"""What the user flow remembers of its own writes never changes what is written, only what is read."""

from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from contracts.settings import ModelSettings
from contracts.user_record import user_dtype
from model_runtime import bundles
from streams.keys import Keys
from streams.positions import Stored
from streams.recent_states import RecentStates
from streams.user_store import UserStore

pytestmark = pytest.mark.redis

PEOPLE = ["u0", "u1", "u2", "u3"]
FORGETFUL = 0
some = st.lists(st.sampled_from(PEOPLE), min_size=1, max_size=3, unique=True)
# Who counts one event for whom; or "deleted": these states are gone.
steps = st.lists(st.tuples(st.sampled_from(["a", "b", "forgetful", "deleted"]), some), max_size=20)


def store(client: Any, keys: Keys, flow: str, most: int) -> UserStore:
    tower = bundles.load(ModelSettings()).users
    dtype = user_dtype(tower.hidden, tower.dim)
    return UserStore(client, keys, flow, dtype, recent=RecentStates(most))


def count(store: UserStore, users: list[str], field: str = "events") -> None:
    """One event each, as the flow does it: whoever has changed meanwhile is read again."""
    while users:
        loaded = store.load(users)
        loaded.records[field] += 1
        users = [users[i] for i in store.write(users, loaded.records, loaded.versions, {}, {})]


def reads(client: Any) -> int:
    return int(client.info("commandstats").get("cmdstat_mget", {"calls": 0})["calls"])


@example([("a", ["u0"]), ("deleted", ["u0"]), ("b", ["u0"]), ("a", ["u0"])])  # as many writes
@given(steps)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_event_is_lost_whoever_writes_between_and_what_is_deleted_begins_anew(
    client: Any, keys: Keys, steps: list[tuple[str, list[str]]]
) -> None:
    client.delete(*map(keys.user, PEOPLE))
    rooms = {"a": 2, "b": 64, "forgetful": FORGETFUL}  # of "a" somebody always has to go
    fields = {"a": "clicks", "b": "likes", "forgetful": "skips"}  # who counts where
    writers = {name: store(client, keys, name, most) for name, most in rooms.items()}
    model = {field: dict.fromkeys(PEOPLE, 0) for field in fields.values()}
    for who, users in steps:
        if who == "deleted":
            client.delete(*map(keys.user, users))
            for counts in model.values():
                counts.update(dict.fromkeys(users, 0))
        else:
            count(writers[who], users, fields[who])
            mine = model[fields[who]]
            mine |= {user: mine[user] + 1 for user in users}
    stored = store(client, keys, "reader", FORGETFUL).load(PEOPLE).records
    for field, counts in model.items():
        assert dict(zip(PEOPLE, stored[field].tolist(), strict=True)) == counts


def test_who_was_just_written_is_not_read_again(client: Any, keys: Keys) -> None:
    writer = store(client, keys, "flow", 64)
    count(writer, PEOPLE)
    before = reads(client)
    for _ in range(5):
        count(writer, PEOPLE)
    assert reads(client) == before
    count(writer, [*PEOPLE, "new"])
    assert reads(client) == before + 1


def test_positions_that_this_process_moved_are_said_by_its_next_load(
    client: Any, keys: Keys
) -> None:
    writer = store(client, keys, "flow", 64)
    loaded, before = writer.load(PEOPLE), {"events:0": ""}
    for offset in (7, 9):
        after = {"events:0": Stored(0, "topic", offset)}
        assert writer.write(PEOPLE, loaded.records, loaded.versions, before, after) == []
        loaded, before = writer.load(PEOPLE), {"events:0": str(after["events:0"])}
        assert loaded.stored == {b"events:0": b"0:topic:%d" % offset}


def test_no_more_are_kept_than_was_said(client: Any, keys: Keys) -> None:
    recent = RecentStates(8)
    tower = bundles.load(ModelSettings()).users
    writer = UserStore(client, keys, "flow", user_dtype(tower.hidden, tower.dim), recent=recent)
    for i in range(20):
        count(writer, [f"u{i}", f"v{i}"])
        assert len(recent) == min(2 * (i + 1), 8)
    assert recent.find(["u19", "u16", "u15"])[2] is None
    recent.clear()
    assert len(recent) == 0
