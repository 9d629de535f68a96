"""The read side of user state, for serving: one GET a feed."""

import asyncio
import time
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import redis.asyncio
from redis.exceptions import RedisError

from contracts.errors import UnavailableError
from contracts.models import Bundle
from contracts.user_record import LAYOUT, user_dtype
from operators.derive import derive, from_blobs
from operators.offsets import slot_key
from operators.user_fold import VideoFacts
from streams.keys import Keys
from streams.positions import Position, Stored

_POLL_S: Final = 0.004


@dataclass(frozen=True, slots=True)
class UserReader:
    """Reads one person's record; a blob of another bundle gets its vector derived from history."""

    client: redis.asyncio.Redis
    keys: Keys
    bundle: Bundle
    videos: VideoFacts
    timeout_s: float
    flow: str = "user-state"

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the records."""
        return user_dtype(self.bundle.users.hidden, self.bundle.users.dim)

    async def get(self, user_id: str) -> Any | None:
        """The record (np.void), None for an unknown or forgotten person.

        Raises:
            UnavailableError: Redis does not answer within the timeout.
        """
        blob = await self._ask(self.client.get(self.keys.user(user_id)))
        if blob is None:
            return None
        records = from_blobs([blob], self.dtype)
        if int(records["layout"][0]) != LAYOUT:
            raise UnavailableError(f"the state is of layout {int(records['layout'][0])}")
        derive(records, self.bundle, self.videos)
        return records[0]

    async def wait_for(self, user_id: str, position: Position, deadline_s: float) -> bool:
        """Wait until the person's state contains the message at `position`, at most `deadline_s`.

        Returns:
            Whether it does now. A blob that never gets the message (a dead letter) counts as
            containing it once the flow's own position has passed.

        Raises:
            UnavailableError: Redis does not answer within the timeout.
        """
        until = time.monotonic() + deadline_s
        source = f"{position.topic}:{position.partition}"
        while True:
            pipe = self.client.pipeline(transaction=False)
            pipe.hget(self.keys.positions(self.flow), source)
            pipe.get(self.keys.user(user_id))
            stored, blob = await self._ask(pipe.execute())
            if self._contains(stored, blob, position):
                return True
            if time.monotonic() + _POLL_S > until:
                return False
            await asyncio.sleep(_POLL_S)

    def _contains(self, stored: bytes | None, blob: bytes | None, position: Position) -> bool:
        generation = 0
        if stored is not None:
            at = Stored.parse(stored)
            generation = at.generation
            if at.offset > position.offset:
                return True
        if blob is None:
            return False
        record = from_blobs([blob], self.dtype)[0]
        slot = record["slot_key"] == slot_key(generation, position.topic, position.partition)
        return bool((record["slot_offset"][slot] >= position.offset).any())

    async def _ask(self, answer: Any) -> Any:
        try:
            return await asyncio.wait_for(answer, self.timeout_s)
        except (TimeoutError, RedisError, OSError) as e:
            raise UnavailableError(f"Redis: {type(e).__name__}: {e}") from None
