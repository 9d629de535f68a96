"""After a switch: states of the old bundle are derived again before anybody asks for them.

Who was active of late is first touched by a feed, which would derive the state at every read until the
flow touches it. So the flow goes through all blobs once, a few at a time, and compares and sets. What
it does not come to, after a restart for example, is derived when it is touched.
"""

import logging
import re
from typing import Final

import redis

from contracts.ids import hash64
from contracts.settings import StreamSettings
from contracts.units import DAY_MS
from operators.derive import derive
from streams.keys import Keys
from streams.user_flow import UserWriter

_log = logging.getLogger(__name__)
_SLICE: Final = 100  # people: some milliseconds between two batches
_ACTIVE_MS: Final = 7 * DAY_MS  # writing prolongs a life: who is gone for long is left alone
_REST_S: Final = 1.0


class Warmer:
    """Belongs to the thread of the user flow, except `begin`."""

    def __init__(self, client: redis.Redis, keys: Keys, per_s: int, stream: StreamSettings) -> None:
        self._client, self._keys, self._per_s = client, keys, per_s
        self._pattern = re.sub(r"([\\*?\[\]^-])", r"\\\1", keys.user("")) + "*"
        self._share = stream.process_index, stream.process_count
        self._new: UserWriter | None = None
        self._writer: UserWriter | None = None
        self._cursor = 0
        self._due_s = 0.0
        self.warmed = 0

    def begin(self, writer: UserWriter) -> None:
        """Derive for this writer's bundle from now on. Any thread."""
        if self._per_s:
            self._new = writer

    def step(self, now_s: float) -> None:
        """A slice, if one is due. Nothing raises: it is repeated, or the state is derived later."""
        if self._new is not None:
            self._writer, self._new, self._cursor, self.warmed = self._new, None, 0, 0
        if self._writer is None or now_s < self._due_s:
            return
        try:
            cursor, found = self._client.scan(self._cursor, self._pattern, _SLICE)
            users = [u for u in map(self._user, found) if self._ours(u)]
            if users:
                self.warmed += self._warm(self._writer, users)
            self._cursor = int(cursor)
        except redis.RedisError as e:
            _log.debug("warming waits: %s", e)
            self._due_s = now_s + _REST_S
            return
        self._due_s = now_s + max(len(found), 1) / self._per_s
        if not self._cursor:
            _log.info("%d people warmed for %s", self.warmed, self._writer.fold.bundle.id)
            self._writer = None

    def _warm(self, writer: UserWriter, users: list[str]) -> int:
        loaded = writer.store.load(users)
        records, mark = loaded.records, hash64(writer.fold.bundle.id)
        active = records["newest_ms"] >= writer.clock_ms() - _ACTIVE_MS
        rows = ((records["bundle"] != mark) & active).nonzero()[0]
        if not len(rows):
            return 0
        part = records[rows]
        derive(part, writer.fold.bundle, writer.fold.videos)
        who, versions = [users[i] for i in rows], [loaded.versions[i] for i in rows]
        return len(rows) - len(writer.store.rewrite(who, part, versions))

    def _user(self, key: bytes | str) -> str:
        text = key if isinstance(key, str) else key.decode("utf-8", "surrogateescape")
        return text[len(self._keys.user("")) :]

    def _ours(self, user: str) -> bool:
        index, count = self._share
        return hash64(user) % count == index
