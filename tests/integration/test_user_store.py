"""The scripts that write user state, on a real Redis: blobs first, positions last, all or nothing moved."""

from typing import Any

import numpy as np
import pytest

from contracts.errors import FencedError
from contracts.settings import ModelSettings
from contracts.user_record import user_dtype
from model_runtime import bundles
from streams.keys import Keys
from streams.positions import Stored
from streams.user_store import UserStore

pytestmark = pytest.mark.redis

SCRIPT = 10  # users that one script holds
BEFORE = {"events:0": "", "events:1": ""}
AFTER = {"events:0": Stored(0, "topic", 7), "events:1": Stored(0, "topic", 9)}
MOVED = {b"events:0": b"0:topic:7", b"events:1": b"0:topic:9"}


@pytest.fixture
def store(client: Any, keys: Keys) -> UserStore:
    tower = bundles.load(ModelSettings()).users
    dtype = user_dtype(tower.hidden, tower.dim)
    return UserStore(client, keys, "flow", dtype, keys_per_write=SCRIPT)


def users(n: int) -> list[str]:
    return [f"u{i}" for i in range(n)]


def write(store: UserStore, n: int, before: dict[str, str] = BEFORE) -> list[int]:
    loaded = store.load(users(n))
    return store.write(users(n), loaded.records, loaded.versions, before, AFTER)


@pytest.mark.parametrize("n", [0, 1, SCRIPT, SCRIPT + 1, 3 * SCRIPT])
def test_once_every_blob_is_written_the_positions_have_moved(
    store: UserStore, client: Any, keys: Keys, n: int
) -> None:
    assert write(store, n) == []
    assert client.hgetall(keys.positions("flow")) == MOVED
    loaded = store.load(users(n))
    assert loaded.records["version"].all()
    assert loaded.stored == MOVED


@pytest.mark.parametrize("n", [2, SCRIPT, SCRIPT + 1, 3 * SCRIPT])
def test_no_position_moves_past_a_blob_that_another_writer_changed(
    store: UserStore, client: Any, keys: Keys, n: int
) -> None:
    loaded, other = store.load(users(n)), store.load(["u1"])
    client.set(keys.user("u1"), b"somebody else's")
    assert store.write(users(n), loaded.records, loaded.versions, BEFORE, AFTER) == [1]
    assert client.hgetall(keys.positions("flow")) == {}
    assert client.get(keys.user("u1")) == b"somebody else's"
    assert client.exists(*(keys.user(u) for u in users(n))) == n

    client.delete(keys.user("u1"))  # the rest of the batch, folded again, takes the positions along
    assert store.write(["u1"], other.records, other.versions, BEFORE, AFTER) == []
    assert client.hgetall(keys.positions("flow")) == MOVED


@pytest.mark.parametrize("n", [1, SCRIPT, 3 * SCRIPT])
def test_a_writer_whose_position_is_not_the_stored_one_writes_nothing(
    store: UserStore, client: Any, keys: Keys, n: int
) -> None:
    client.hset(keys.positions("flow"), "events:1", "0:topic:8")
    with pytest.raises(FencedError):
        write(store, n)
    assert client.hgetall(keys.positions("flow")) == {b"events:1": b"0:topic:8"}
    assert client.exists(*(keys.user(u) for u in users(n))) == 0


def test_a_second_batch_begins_where_the_first_has_moved_to(
    store: UserStore, client: Any, keys: Keys
) -> None:
    write(store, 3)
    loaded = store.load(users(3))
    with pytest.raises(FencedError):
        write(store, 3)
    later = {source: str(at) for source, at in AFTER.items()}
    assert write(store, 3, later) == []
    assert len(np.unique([loaded.records["version"], store.load(users(3)).records["version"]])) == 6
