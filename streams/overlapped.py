"""Several commands on one connection, each sent before the answer to the one before has come.

Redis works while the next command is packed. A pipeline of redis-py would pack all of them first.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Any

import redis

Command = Sequence[Any]


def overlapped(client: redis.Redis, commands: Iterable[Command]) -> list[Any]:
    """The answers, in order.

    Raises:
        redis.RedisError: of the first command that failed; those after it may have been carried out.
    """
    with _connection(client) as connection:
        return _answers(connection, commands)


def guarded(
    client: redis.Redis,
    key: str,
    read: Command,
    check: Callable[[Any], None],
    writes: Iterable[Command],
) -> None:
    """Carry out `writes` as one transaction, unless `key` changes after `check` was shown it.

    Args:
        read: what to ask of `key`; `check` is given the answer, and raises if it is not the right one.

    Raises:
        redis.WatchError: somebody else has written to `key` meanwhile; nothing was carried out.
        redis.RedisError: Redis did not answer; or it refused a write when it was told of it, then
            nothing was carried out, or when it came to it, then the others were.
        Exception: what `check` raises; nothing was carried out.
    """
    with _connection(client) as connection:
        check(_answers(connection, [("WATCH", key), read])[-1])
        done = _answers(connection, chain([("MULTI",)], writes, [("EXEC",)]), begun=True)[-1]
        if done is None:
            raise redis.WatchError(f"{key} has changed")
        for answer in done:
            if isinstance(answer, redis.RedisError):
                raise answer


@contextmanager
def _connection(client: redis.Redis) -> Iterator[Any]:
    """One of the pool, which gets it back whatever happens.

    A pipeline of redis-py keeps one that Redis did not answer while a key was watched: of a pool of a
    hundred, each such time leaves one less.
    """
    pool = client.connection_pool
    connection = pool.get_connection()
    try:
        yield connection
    except BaseException:
        # An answer that nobody read must not be somebody else's, nor a key that is watched.
        connection.disconnect()  # type: ignore[no-untyped-call]
        raise
    finally:
        pool.release(connection)


def _answers(connection: Any, commands: Iterable[Command], begun: bool = False) -> list[Any]:
    """The answers, in order. `begun`: the connection holds something that another would not."""
    sent = 0
    for command in commands:
        # Where the URL asks for a ping now and then: only before the first, else the answer to it would
        # be read as that of a command, and another connection go on in the middle of a transaction.
        connection.send_command(*command, check_health=not begun and not sent)
        sent += 1
    return [connection.read_response() for _ in range(sent)]
