"""The statistics in Redis: whole at every moment, whoever dies, and never written by an old worker."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contracts.errors import ConfigError, FencedError
from streams.keys import Keys
from streams.positions import Stored
from streams.stats_store import StatsStore

SOURCE = "events:0"
names = st.sampled_from([b"v1", b"v2", b"c1", b"u9", b"m"])
changes = st.dictionaries(names, st.binary(max_size=20), max_size=4)
gone = st.lists(names, max_size=2)


@pytest.fixture
def client(redis_url: str) -> Iterator[Any]:
    connection = redis.Redis.from_url(redis_url)
    yield connection
    connection.close()


def at(offset: int) -> Stored:
    return Stored(0, "topic", offset)


def emptied(client: Any, keys: Keys) -> None:
    for key in client.scan_iter(f"{keys.namespace}:*"):
        client.delete(key)


@given(st.lists(st.tuples(changes, gone, st.booleans()), max_size=8))
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_was_saved_is_loaded_whoever_loads_it(
    client: Any, redis_namespace: str, steps: list[tuple[Any, Any, bool]]
) -> None:
    keys = Keys(redis_namespace)
    emptied(client, keys)
    store, before = StatsStore(client, keys), ""
    model: dict[bytes, bytes] = {}
    for offset, (changed, dropped, restarted) in enumerate(steps):
        deleted = [name for name in dropped if name not in changed]
        store.save(SOURCE, before, at(offset), changed, deleted)
        before = str(at(offset))
        model = {k: v for k, v in model.items() if k not in deleted} | changed
        if restarted:
            store = StatsStore(client, keys)
            assert store.load(SOURCE, before) == model
    assert StatsStore(client, keys).load(SOURCE, before) == model


def test_a_change_that_was_not_committed_never_was(client: Any, redis_namespace: str) -> None:
    keys = Keys(redis_namespace)
    store = StatsStore(client, keys)
    store.save(SOURCE, "", at(1), {b"v1": b"old"}, [])
    store.save(SOURCE, str(at(1)), at(2), {b"v1": b"new"}, [])
    state, journal = keys.stats(SOURCE), client.hget(keys.stats(SOURCE), "journal")
    client.hset(state, "position", str(at(1)))  # as if the commit had not come
    client.hdel(state, "journal")
    assert StatsStore(client, keys).load(SOURCE, str(at(1))) == {b"v1": b"old"}
    assert client.exists(journal)


def test_an_old_worker_writes_nothing_and_is_told(client: Any, redis_namespace: str) -> None:
    keys = Keys(redis_namespace)
    old = StatsStore(client, keys)
    old.save(SOURCE, "", at(1), {b"v1": b"one"}, [])
    new = StatsStore(client, keys)
    new.load(SOURCE, str(at(1)))
    new.save(SOURCE, str(at(1)), at(2), {b"v1": b"two"}, [])
    with pytest.raises(FencedError):
        old.check(SOURCE, str(at(1)))
    with pytest.raises(FencedError):
        old.save(SOURCE, str(at(1)), replace(at(2), offset=3), {b"v1": b"three"}, [b"v2"])
    assert StatsStore(client, keys).load(SOURCE, str(at(2))) == {b"v1": b"two"}


def test_a_journal_that_is_gone_says_what_to_delete(client: Any, redis_namespace: str) -> None:
    keys = Keys(redis_namespace)
    StatsStore(client, keys).save(SOURCE, "", at(1), {b"v1": b"one"}, [])
    client.delete(client.hget(keys.stats(SOURCE), "journal"))
    with pytest.raises(ConfigError, match="delete"):
        StatsStore(client, keys).load(SOURCE, str(at(1)))


def test_large_changes_go_in_small_pieces_and_leave_no_journals_behind(
    client: Any, redis_namespace: str
) -> None:
    keys = Keys(redis_namespace)
    store, before = StatsStore(client, keys), ""
    large = {b"v%d" % i: bytes([i % 256]) * 3000 for i in range(400)}
    client.config_resetstat()
    for offset in range(1, 6):
        store.save(SOURCE, before, at(offset), large, [b"x%d" % i for i in range(1500)])
        before = str(at(offset))
    assert StatsStore(client, keys).load(SOURCE, before) == large
    assert len(list(client.scan_iter(f"{keys.stats(SOURCE)}:journal:*"))) == 1
    evals = client.info("commandstats")["cmdstat_eval"]["calls"]
    assert evals >= 4 * (400 * 3000 // 65_536)  # not one script a change
