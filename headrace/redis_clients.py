"""Redis clients from settings: one that a flow or a command waits for, and one for a feed."""

from typing import Final

import redis
import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from contracts.settings import RedisSettings

_CONNECTIONS: Final = 64  # of one worker; a feed waits for one within its own deadline


def blocking_client(settings: RedisSettings) -> redis.Redis:
    """A client whose every wait is bounded by the timeout of a write."""
    return redis.Redis.from_url(
        settings.url.get_secret_value(),
        socket_timeout=settings.write_timeout_s,
        socket_connect_timeout=settings.write_timeout_s,
    )


def feed_client(settings: RedisSettings) -> redis.asyncio.Redis:
    """A client whose every wait is bounded by the timeout of a read."""
    pool: redis.asyncio.BlockingConnectionPool = redis.asyncio.BlockingConnectionPool.from_url(
        settings.url.get_secret_value(),
        max_connections=_CONNECTIONS,
        timeout=settings.timeout_s,
        socket_timeout=settings.timeout_s,
        socket_connect_timeout=settings.timeout_s,
        # One try more, at once: a restarted Redis has closed every connection of the pool.
        retry=Retry(NoBackoff(), 1),
    )
    return redis.asyncio.Redis(connection_pool=pool)
