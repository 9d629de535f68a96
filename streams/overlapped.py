"""Several commands on one connection, each sent before the answer to the one before has come.

Redis works while the next command is packed. A pipeline of redis-py would pack all of them first.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import redis

Command = Sequence[Any]


def overlapped(client: redis.Redis, commands: Iterable[Command]) -> list[Any]:
    """The answers, in order.

    Raises:
        redis.RedisError: of the first command that failed; those after it may have been carried out.
    """
    pool = client.connection_pool
    connection = pool.get_connection()
    try:
        sent = 0
        for command in commands:
            connection.send_command(*command)  # type: ignore[no-untyped-call]
            sent += 1
        return [connection.read_response() for _ in range(sent)]
    except BaseException:
        # An answer that nobody read must not be somebody else's.
        connection.disconnect()  # type: ignore[no-untyped-call]
        raise
    finally:
        pool.release(connection)
