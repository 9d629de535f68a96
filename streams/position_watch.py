"""Waiting for a flow to pass a position: one poll of Redis, however many requests wait.

A poll per waiting request collapses under load: a flow that lags makes requests wait, their polls
take the processor from the flow, and it lags more (docs/LOG.md, 2026-11-23).
"""

import asyncio
from dataclasses import dataclass, field
from typing import Any, Final

import redis.asyncio
from redis.exceptions import RedisError

from contracts.errors import ConfigError, UnavailableError
from streams.positions import Position, Stored

_POLL_S: Final = 0.004


@dataclass(slots=True)
class PositionWatch:
    """Belongs to one event loop. `key` is the hash of the flow's positions."""

    client: redis.asyncio.Redis
    key: str
    timeout_s: float
    _waiting: dict[asyncio.Future[None], Position] = field(default_factory=dict)
    _poller: asyncio.Task[None] | None = None

    async def passed(self, position: Position, deadline_s: float) -> bool:
        """Whether the flow has folded the message at `position`, waiting at most `deadline_s`.

        Raises:
            UnavailableError: Redis does not answer within the timeout.
        """
        if deadline_s <= 0:
            return await self._has(position)
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[done] = position
        if self._poller is None or self._poller.done():
            self._poller = asyncio.create_task(self._poll())
        try:
            await asyncio.wait_for(done, deadline_s)
        except TimeoutError:
            return False
        finally:
            self._waiting.pop(done, None)
        return True

    async def _has(self, position: Position) -> bool:
        source = f"{position.topic}:{position.partition}"
        raw = await self._ask(self.client.hget(self.key, source))
        return raw is not None and _offset(raw) > position.offset

    async def _poll(self) -> None:
        while self._waiting:
            try:
                stored = await self._ask(self.client.hgetall(self.key))
                offsets = {source.decode(): _offset(raw) for source, raw in stored.items()}
            except UnavailableError as e:
                self._fail(e)
                return
            self._settle(offsets)
            await asyncio.sleep(_POLL_S)

    async def _ask(self, answer: Any) -> Any:
        try:
            return await asyncio.wait_for(answer, self.timeout_s)
        except (TimeoutError, RedisError, OSError) as e:
            raise UnavailableError(f"Redis: {type(e).__name__}: {e}") from None

    def _settle(self, offsets: dict[str, int]) -> None:
        for done, position in self._waiting.items():
            at = offsets.get(f"{position.topic}:{position.partition}")
            if at is not None and at > position.offset and not done.done():
                done.set_result(None)

    def _fail(self, error: UnavailableError) -> None:
        for done in self._waiting:
            if not done.done():
                done.set_exception(error)


def _offset(raw: bytes) -> int:
    """A feed has rungs below a position that nobody can read."""
    try:
        return Stored.parse(raw).offset
    except ConfigError as e:
        raise UnavailableError(str(e)) from None
