"""Who holds which bundle: every process says it in Redis, and is believed for a few seconds.

A promotion waits for what is said here, and the user flow changes last because of it. Nothing that is
served depends on it.
"""

import os
import socket
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import redis

_BELIEVED_S: Final = 6.0
_FORGOTTEN_S: Final = 3600.0
SERVING: Final = "api"


class Holder(msgspec.Struct, frozen=True):
    """What one process said.

    Attributes:
        role: "api", or the name of a flow.
        bundle: the one that it works with.
        ready: those that it could work with from one moment to the next.
        refused: bundle -> why it does not take it.
        at_s: when, by the clock of Redis, the one that all share.
    """

    role: str
    process: str
    bundle: str
    ready: tuple[str, ...]
    refused: dict[str, str] = {}
    at_s: float = 0.0


_decoder = msgspec.json.Decoder(Holder)


@dataclass(frozen=True, slots=True)
class Presence:
    """Every method raises redis.RedisError."""

    client: redis.Redis
    key: str
    role: str = ""

    def say(self, bundle: str, ready: tuple[str, ...], refused: dict[str, str]) -> None:
        """This process holds these bundles now."""
        process = f"{socket.gethostname()}:{os.getpid()}"
        holder = Holder(self.role, process, bundle, ready, refused, self._now_s())
        self.client.hset(self.key, f"{self.role}:{process}", msgspec.json.encode(holder))

    def gone(self) -> None:
        """This process ends."""
        self.client.hdel(self.key, f"{self.role}:{socket.gethostname()}:{os.getpid()}")

    def holders(self) -> list[Holder]:
        """What was said in the last seconds. Entries of processes long gone are removed."""
        now_s, found, stale = self._now_s(), list[Holder](), list[Any]()
        for field, raw in self.client.hgetall(self.key).items():
            try:
                holder = _decoder.decode(raw)
            except msgspec.DecodeError:
                stale.append(field)
                continue
            if now_s - holder.at_s > _FORGOTTEN_S:
                stale.append(field)
            elif now_s - holder.at_s <= _BELIEVED_S:
                found.append(holder)
        if stale:
            self.client.hdel(self.key, *stale)
        return found

    def _now_s(self) -> float:
        seconds, micros = self.client.time()
        return float(seconds) + float(micros) / 1e6
