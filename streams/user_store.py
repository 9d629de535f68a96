"""User state in Redis: read a batch of blobs, compare-and-set them, move the position last."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final

import numpy as np
import redis

from contracts.errors import FencedError
from contracts.user_record import VERSION_AT
from operators.blobs import from_blobs, to_blobs
from operators.features.protocol import Records
from streams.keys import Keys
from streams.overlapped import Command, overlapped
from streams.positions import Stored, durable_offsets
from streams.scripts import FENCED, MOVE_POSITIONS, WRITE_BLOBS

_DAY_MS: Final = 86_400_000


@dataclass(frozen=True, slots=True, eq=False)
class Loaded:
    """What one read brought.

    Attributes:
        records: (n,) in the order asked for.
        versions: (n,) the version bytes that the stored blobs have; b"" where there is none.
        stored: source -> position, of every partition of the flow.
    """

    records: Records
    versions: list[bytes]
    stored: Mapping[bytes, bytes]

    @property
    def durable(self) -> dict[int, int]:
        """See `operators.offsets.advance`."""
        return durable_offsets(self.stored)


class UserStore:
    """The write side. Every method raises redis.RedisError when Redis does not answer."""

    def __init__(
        self,
        client: redis.Redis,
        keys: Keys,
        flow: str,
        dtype: np.dtype[Any],
        *,
        keys_per_write: int = 200,
        ttl_days: float = 90.0,
    ) -> None:
        self._client, self._keys, self._dtype = client, keys, dtype
        self._positions = keys.positions(flow)
        self._per_write, self._ttl_ms = keys_per_write, int(ttl_days * _DAY_MS)
        self._move = client.register_script(MOVE_POSITIONS)

    def load(self, users: Sequence[str]) -> Loaded:
        """Blobs of `users` and all positions, in one round trip."""
        pipe = self._client.pipeline(transaction=False)
        pipe.hgetall(self._positions)
        for start in range(0, len(users), self._per_write):
            pipe.mget([self._keys.user(u) for u in users[start : start + self._per_write]])
        stored, *parts = pipe.execute()
        blobs = [blob for part in parts for blob in part]
        first, end = VERSION_AT
        versions = [b"" if blob is None else blob[first:end] for blob in blobs]
        return Loaded(from_blobs(blobs, self._dtype), versions, stored)

    def write(
        self,
        users: Sequence[str],
        records: Records,
        versions: Sequence[bytes],
        before: Mapping[str, str],
    ) -> list[int]:
        """Write the records whose stored version is the one that was read; the others' indexes.

        Raises:
            FencedError: a stored position is not `before`; from there on nothing was written.
            redis.RedisError: Redis did not answer, or refused; some may have been written.
        """
        records["version"] += 1
        starts = range(0, len(users), self._per_write)
        answers = overlapped(
            self._client, self._scripts(users, records, versions, _guard(before), starts)
        )
        if FENCED in answers:
            raise FencedError(f"the stored position is not {dict(before)}")
        return [
            start + int(i) for start, answer in zip(starts, answers, strict=True) for i in answer
        ]

    def _scripts(
        self,
        users: Sequence[str],
        records: Records,
        versions: Sequence[bytes],
        guard: Sequence[Any],
        starts: range,
    ) -> Iterator[Command]:
        """One EVAL for so many users each; its text is nothing beside the blobs."""
        first, end = VERSION_AT
        for start in starts:
            part = users[start : start + starts.step]
            blobs = to_blobs(records[start : start + starts.step])
            pairs = chain.from_iterable(
                zip(versions[start : start + len(part)], blobs, strict=True)
            )
            keys = [self._positions, *map(self._keys.user, part)]
            head = ("EVAL", WRITE_BLOBS, len(keys))
            yield (*head, *keys, *guard, first, end - 1, self._ttl_ms, *pairs)

    def check(self, before: Mapping[str, str]) -> None:
        """Before states are published: a worker that slept must not have the last word on a topic.

        Raises:
            FencedError: a stored position is not `before`.
        """
        stored = self._client.hmget(self._positions, list(before))
        if any(
            (raw or b"") != at.encode() for raw, at in zip(stored, before.values(), strict=True)
        ):
            raise FencedError(f"the stored position is not {dict(before)}")

    def move(self, before: Mapping[str, str], after: Mapping[str, Stored]) -> None:
        """Move the positions, last of all.

        Raises:
            FencedError: a stored position is not `before`.
        """
        moved = [part for s in before for part in (s, str(after[s]))]
        if self._move(keys=[self._positions], args=[*_guard(before), *moved]) == FENCED:
            raise FencedError(f"the stored position is not {dict(before)}")


def _guard(before: Mapping[str, str]) -> list[Any]:
    return [len(before), *(part for pair in before.items() for part in pair)]
