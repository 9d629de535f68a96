"""Commands that overlap, and transactions that are guarded by a key, on a real Redis."""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
import redis

from headrace.servers.redis import EmbeddedRedis
from streams.overlapped import Command, guarded, overlapped

pytestmark = pytest.mark.redis

KEY = "state"
READ = ("HGET", KEY, "position")
WRITES: Sequence[Command] = [("HSET", KEY, "position", "2"), ("HSET", KEY, "v1", "new")]


def only_connection(to: EmbeddedRedis, timeout_s: float, options: str = "") -> Any:
    """A call that keeps its connection fails the next one."""
    return redis.Redis.from_url(to.url + options, socket_timeout=timeout_s, max_connections=1)


@pytest.fixture
def client(own_redis: EmbeddedRedis) -> Iterator[Any]:
    with only_connection(own_redis, 10.0) as client:
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


def test_nothing_is_written_if_it_is_not_and_the_key_is_watched_no_more(client: Any) -> None:
    with pytest.raises(KeyError):
        guarded(client, KEY, READ, expected(b"7"), WRITES)
    assert client.hgetall(KEY) == {b"position": b"1"}
    client.hset(KEY, "v1", "old")
    guarded(client, KEY, READ, expected(b"1"), WRITES)
    assert client.hget(KEY, "v1") == b"new"


def test_nothing_is_written_if_somebody_else_writes_between(
    client: Any, own_redis: EmbeddedRedis
) -> None:
    def check(found: Any) -> None:
        with redis.Redis.from_url(own_redis.url) as other:
            other.hset(KEY, "v1", "other")

    with pytest.raises(redis.WatchError):
        guarded(client, KEY, READ, check, WRITES)
    assert client.hgetall(KEY) == {b"position": b"1", b"v1": b"other"}


REFUSED_WHEN_TOLD: Command = ("HSET", KEY)
REFUSED_WHEN_DONE: Command = ("LPUSH", KEY, "no list")


@pytest.mark.parametrize(
    ("wrong", "carried_out"), [(REFUSED_WHEN_TOLD, False), (REFUSED_WHEN_DONE, True)]
)
def test_a_write_that_is_refused_raises_and_the_connection_goes_on(
    client: Any, wrong: Command, carried_out: bool
) -> None:
    with pytest.raises(redis.ResponseError):
        guarded(client, KEY, READ, expected(b"1"), [wrong, ("HSET", KEY, "v1", "beside")])
    assert client.hexists(KEY, "v1") == carried_out
    guarded(client, KEY, READ, expected(b"1"), WRITES)
    assert client.hget(KEY, "v1") == b"new"


def test_a_redis_that_freezes_under_a_watch_costs_no_connection(
    client: Any, own_redis: EmbeddedRedis
) -> None:
    freezes = 0

    def freeze(found: Any) -> None:
        nonlocal freezes
        freezes += 1
        own_redis.freeze()

    with only_connection(own_redis, 0.3) as hasty:
        while freezes < 3:  # a busy machine may be too slow before it comes to that
            with pytest.raises(redis.TimeoutError):
                guarded(hasty, KEY, READ, freeze, WRITES)
            own_redis.thaw()


def test_a_worker_that_slept_in_a_transaction_does_not_go_on_with_another_connection(
    client: Any, own_redis: EmbeddedRedis
) -> None:
    def slow() -> Iterator[Command]:
        for write in WRITES:
            time.sleep(1.2)  # now the ping that the URL asks for is due
            yield write

    options = "?health_check_interval=1&retry_on_timeout=yes"
    with only_connection(own_redis, 10.0, options) as pinging:
        guarded(pinging, KEY, READ, expected(b"1"), slow())
    assert client.hgetall(KEY) == {b"position": b"2", b"v1": b"new"}


def test_answers_come_in_order_and_a_refusal_leaves_none_behind(client: Any) -> None:
    assert overlapped(client, [("SET", "a", "1"), ("GET", "a"), ("GET", "b")])[1:] == [b"1", None]
    with pytest.raises(redis.ResponseError):
        overlapped(client, [("LPUSH", "a", "no list"), ("GET", "a")])
    assert overlapped(client, [("GET", "a")]) == [b"1"]
