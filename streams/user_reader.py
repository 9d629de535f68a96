"""The read side of user state, for serving: one GET a feed."""

import asyncio
from typing import Any

import redis.asyncio
from redis.exceptions import RedisError

from contracts.errors import ConfigError, UnavailableError
from contracts.models import Bundle
from contracts.user_record import user_dtype
from operators.blobs import from_blobs
from operators.derive import derive
from operators.user_fold import VideoFacts
from streams.keys import Keys
from streams.position_watch import PositionWatch
from streams.positions import Position


class UserReader:
    """Reads one person's record; a blob of another bundle gets its vector derived from history."""

    def __init__(
        self,
        client: redis.asyncio.Redis,
        keys: Keys,
        bundle: Bundle,
        videos: VideoFacts,
        timeout_s: float,
        flow: str = "user-state",
    ) -> None:
        self._client, self._keys, self._timeout_s = client, keys, timeout_s
        self._bundle, self._videos = bundle, videos
        self._dtype = user_dtype(bundle.users.hidden, bundle.users.dim)
        self._watch = PositionWatch(client, keys.positions(flow), timeout_s)

    async def get(self, user_id: str) -> Any | None:
        """The record (np.void), None for an unknown person.

        Raises:
            UnavailableError: Redis does not answer within the timeout.
        """
        try:
            asked = self._client.get(self._keys.user(user_id))
            blob: Any = await asyncio.wait_for(asked, self._timeout_s)
        except (TimeoutError, RedisError, OSError) as e:
            raise UnavailableError(f"Redis: {type(e).__name__}: {e}") from None
        if blob is None:
            return None
        try:
            records = from_blobs([blob], self._dtype)
        except ConfigError as e:
            raise UnavailableError(str(e)) from None
        derive(records, self._bundle, self._videos)
        return records[0]

    async def wait_for(self, user_id: str, position: Position, deadline_s: float) -> bool:
        """Wait until the person's state contains the message at `position`, at most `deadline_s`.

        A message that never gets into a state (a dead letter) counts as contained once the flow has
        passed it.

        Raises:
            UnavailableError: Redis does not answer within the timeout.
        """
        return await self._watch.passed(position, deadline_s)
