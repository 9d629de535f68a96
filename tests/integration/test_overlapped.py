"""Commands that overlap, and transactions that are guarded by a key, on a real Redis."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
import redis

from headrace.servers.redis import EmbeddedRedis
from streams.overlapped import Command, guarded, overlapped

KEY = "state"
READ = ("HGET", KEY, "position")
WRITES: Sequence[Command] = [("HSET", KEY, "position", "2"), ("HSET", KEY, "v1", "new")]


@pytest.fixture
def client(own_redis: EmbeddedRedis) -> Iterator[Any]:
    """One connection is all that there is: a call that keeps it fails the next one."""
    with redis.Redis.from_url(own_redis.url, socket_timeout=0.3, max_connections=1) as client:
        client.hset(KEY, "position", "1")
        yield client


def expected(position: bytes) -> Callable[[Any], None]:
    def check(found: Any) -> None:
        if found != position:
            raise KeyError(found)

    return check


def test_a_transaction_is_carried_out_whole_if_the_key_is_as_expected(client: Any) -> None:
    guarded(client, KEY, READ, expected(b"1"), WRITES)
    assert client.hgetall(KEY) == {b"position": b"2", b"v1": b"new"}


def test_nothing_is_written_if_it_is_not(client: Any) -> None:
    with pytest.raises(KeyError):
        guarded(client, KEY, READ, expected(b"7"), WRITES)
    assert client.hgetall(KEY) == {b"position": b"1"}


def test_nothing_is_written_if_somebody_else_writes_between(
    client: Any, own_redis: EmbeddedRedis
) -> None:
    def check(found: Any) -> None:
        with redis.Redis.from_url(own_redis.url) as other:
            other.hset(KEY, "v1", "other")

    with pytest.raises(redis.WatchError):
        guarded(client, KEY, READ, check, WRITES)
    assert client.hgetall(KEY) == {b"position": b"1", b"v1": b"other"}


@pytest.mark.parametrize("wrong", [("HSET", KEY), ("LPUSH", KEY, "no list")])
def test_a_write_that_is_refused_raises_and_the_connection_goes_on(
    client: Any, wrong: Command
) -> None:
    with pytest.raises(redis.ResponseError):
        guarded(client, KEY, READ, expected(b"1"), [wrong])
    guarded(client, KEY, READ, expected(b"1"), WRITES)
    assert client.hget(KEY, "v1") == b"new"


def test_a_redis_that_freezes_under_a_watch_costs_no_connection(
    client: Any, own_redis: EmbeddedRedis
) -> None:
    def freeze(found: Any) -> None:
        own_redis.freeze()

    for _ in range(3):
        with pytest.raises(redis.TimeoutError):
            guarded(client, KEY, READ, freeze, WRITES)
        own_redis.thaw()
    client.hset(KEY, "position", "1")  # a write that was not answered may have been carried out
    guarded(client, KEY, READ, expected(b"1"), WRITES)
    assert client.hget(KEY, "position") == b"2"


def test_answers_come_in_order_and_a_refusal_leaves_none_behind(client: Any) -> None:
    assert overlapped(client, [("SET", "a", "1"), ("GET", "a"), ("GET", "b")])[1:] == [b"1", None]
    with pytest.raises(redis.ResponseError):
        overlapped(client, [("LPUSH", "a", "no list"), ("GET", "a")])
    assert overlapped(client, [("GET", "a")]) == [b"1"]
