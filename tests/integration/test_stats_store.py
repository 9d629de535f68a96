"""The statistics in Redis: whole at every moment, whoever dies, and never written by an old worker."""

import threading
from concurrent.futures import ThreadPoolExecutor
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

pytestmark = pytest.mark.redis

SOURCE = "events:0"
names = st.sampled_from([b"v1", b"v2", b"c1", b"u9", b"m"])
changes = st.dictionaries(names, st.binary(max_size=20), max_size=4)
gone = st.lists(names, max_size=2)
largest = st.sampled_from([0, 2, 8192])  # fields; all changes by a journal, some, none
ALWAYS = 0


def at(offset: int) -> Stored:
    return Stored(0, "topic", offset)


def emptied(client: Any, keys: Keys) -> None:
    for key in client.scan_iter(f"{keys.namespace}:*"):
        client.delete(key)


@given(st.lists(st.tuples(changes, gone, st.booleans()), max_size=8), largest)
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_was_saved_is_loaded_whoever_loads_it(
    client: Any, keys: Keys, steps: list[tuple[Any, Any, bool]], largest: int
) -> None:
    emptied(client, keys)
    store, before = StatsStore(client, keys, largest), ""
    model: dict[bytes, bytes] = {}
    for offset, (changed, dropped, restarted) in enumerate(steps):
        deleted = [name for name in dropped if name not in changed]
        store.save(SOURCE, before, at(offset), changed, deleted)
        before = str(at(offset))
        model = {k: v for k, v in model.items() if k not in deleted} | changed
        if restarted:
            store = StatsStore(client, keys, largest)
            assert store.load(SOURCE, before) == model
    assert StatsStore(client, keys).load(SOURCE, before) == model


def test_a_change_that_was_not_committed_never_was(client: Any, keys: Keys) -> None:
    store = StatsStore(client, keys, ALWAYS)
    store.save(SOURCE, "", at(1), {b"v1": b"old"}, [])
    store.save(SOURCE, str(at(1)), at(2), {b"v1": b"new"}, [])
    state, journal = keys.stats(SOURCE), client.hget(keys.stats(SOURCE), "journal")
    client.hset(state, "position", str(at(1)))  # as if the commit had not come
    client.hdel(state, "journal")
    assert StatsStore(client, keys).load(SOURCE, str(at(1))) == {b"v1": b"old"}
    assert client.exists(journal)


@pytest.mark.parametrize("largest", [0, 8192])
def test_an_old_worker_writes_nothing_and_is_told(client: Any, keys: Keys, largest: int) -> None:
    old = StatsStore(client, keys, largest)
    old.save(SOURCE, "", at(1), {b"v1": b"one"}, [])
    new = StatsStore(client, keys, largest)
    new.load(SOURCE, str(at(1)))
    new.save(SOURCE, str(at(1)), at(2), {b"v1": b"two"}, [])
    with pytest.raises(FencedError):
        old.check(SOURCE, str(at(1)))
    with pytest.raises(FencedError):
        old.save(SOURCE, str(at(1)), replace(at(2), offset=3), {b"v1": b"three"}, [b"v2"])
    assert StatsStore(client, keys).load(SOURCE, str(at(2))) == {b"v1": b"two"}


def test_a_journal_that_is_gone_says_what_to_delete(client: Any, keys: Keys) -> None:
    StatsStore(client, keys, ALWAYS).save(SOURCE, "", at(1), {b"v1": b"one"}, [])
    client.delete(client.hget(keys.stats(SOURCE), "journal"))
    with pytest.raises(ConfigError, match="delete"):
        StatsStore(client, keys).load(SOURCE, str(at(1)))


def test_large_changes_go_in_pieces_and_leave_one_journal_behind(client: Any, keys: Keys) -> None:
    store, before = StatsStore(client, keys), ""
    large = {b"v%d" % i: bytes([i % 256]) * 3000 for i in range(400)}
    before_all = transactions(client)
    for offset in range(1, 6):
        store.save(SOURCE, before, at(offset), large, [b"x%d" % i for i in range(1500)])
        before = str(at(offset))
    assert StatsStore(client, keys).load(SOURCE, before) == large
    assert len(journals(client, keys)) == 1
    assert transactions(client) - before_all >= 4 * (400 * 3000 // 262_144)  # not one a change


def test_a_small_change_after_a_large_one_lets_its_journal_go(client: Any, keys: Keys) -> None:
    store = StatsStore(client, keys, 2)
    store.save(SOURCE, "", at(1), {b"v1": b"one", b"v2": b"two", b"v3": b"three"}, [])
    assert len(journals(client, keys)) == 1
    store.save(SOURCE, str(at(1)), at(2), {b"v1": b"new"}, [b"v2"])
    assert journals(client, keys) == []
    assert StatsStore(client, keys).load(SOURCE, str(at(2))) == {b"v1": b"new", b"v3": b"three"}


@pytest.mark.parametrize("largest", [0, 8192])
def test_of_two_that_write_at_once_one_wins_and_the_other_is_told(
    client: Any, keys: Keys, largest: int
) -> None:
    together = threading.Barrier(2)
    stores = [StatsStore(client, keys, largest) for _ in "ab"]

    def save(who: int, before: str, after: Stored) -> bool:
        together.wait()
        while True:
            try:
                stores[who].save(SOURCE, before, after, {b"v%d" % who: b"%d" % after.offset}, [])
            except FencedError:
                return False
            except redis.WatchError:  # both work the same journal in: to be tried again
                continue
            return True

    before, model = "", dict[bytes, bytes]()
    with ThreadPoolExecutor(2) as pool:
        for offset in range(30):
            ends = [Stored(0, "topic", 10 * offset + who) for who in range(2)]
            won = list(pool.map(save, range(2), [before] * 2, ends))
            assert sum(won) == 1
            winner = won.index(True)
            before = str(ends[winner])
            model[b"v%d" % winner] = b"%d" % ends[winner].offset
            for store in stores:
                assert store.load(SOURCE, before) == model


def transactions(client: Any) -> int:
    return int(client.info("commandstats").get("cmdstat_exec", {"calls": 0})["calls"])


def journals(client: Any, keys: Keys) -> list[bytes]:
    return list(client.scan_iter(f"{keys.stats(SOURCE)}:journal:*"))
