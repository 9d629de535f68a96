"""User state in Redis: read a batch of blobs, compare-and-set them, move the position last."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import redis

from contracts.errors import FencedError
from contracts.units import DAY_MS
from contracts.user_record import VERSION_AT
from operators.blobs import from_blobs, to_blobs
from operators.features.protocol import Records
from streams.keys import Keys
from streams.overlapped import Command, overlapped
from streams.positions import Stored, durable_offsets
from streams.recent_states import RecentStates
from streams.scripts import FENCED, MOVE_POSITIONS, WRITE_BLOBS


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
        recent: RecentStates | None = None,
    ) -> None:
        self._client, self._keys, self._dtype = client, keys, dtype
        self._positions = keys.positions(flow)
        self._per_write, self._ttl_ms = keys_per_write, int(ttl_days * DAY_MS)
        self._version_at = VERSION_AT[0], VERSION_AT[1] - 1
        self._move = client.register_script(MOVE_POSITIONS)
        self._recent = RecentStates() if recent is None else recent
        self._drawn = np.random.default_rng()

    def load(self, users: Sequence[str]) -> Loaded:
        """States of `users` and all positions, in one round trip or, if all are recent, in none."""
        blobs, positions = self._recent.find(users), self._recent.positions()
        absent = [i for i, blob in enumerate(blobs) if blob is None]
        if absent or positions is None:
            found, positions = self._read([users[i] for i in absent])
            for i, blob in zip(absent, found, strict=True):
                blobs[i] = blob
        first, end = VERSION_AT
        versions = [b"" if blob is None else blob[first:end] for blob in blobs]
        return Loaded(from_blobs(blobs, self._dtype), versions, positions)

    def _read(self, users: Sequence[str]) -> tuple[list[bytes | None], dict[bytes, bytes]]:
        starts = range(0, len(users), self._per_write)
        keys = [list(map(self._keys.user, users[at : at + self._per_write])) for at in starts]
        commands = [("HGETALL", self._positions), *(("MGET", *part) for part in keys)]
        stored, *parts = overlapped(self._client, commands)
        positions = _as_dict(stored)
        self._recent.read(positions)
        return [blob for part in parts for blob in part], positions

    def write(
        self,
        users: Sequence[str],
        records: Records,
        versions: Sequence[bytes],
        before: Mapping[str, str],
        after: Mapping[str, Stored],
    ) -> list[int]:
        """Write the records whose stored version is the one that was read; the others' indexes.

        If there is no other, the positions move to `after`, last of all: in the script that writes
        the blobs if one holds them all, which saves a small batch one of its three round trips.

        Raises:
            FencedError: a stored position is not `before`; from there on nothing was written.
            redis.RedisError: Redis did not answer, or refused; some may have been written.
        """
        self._recent.drop(users)
        conflicts = self._write(users, records, versions, before, after)
        if not conflicts:
            self._recent.keep(users, records)
        return conflicts

    def _write(
        self,
        users: Sequence[str],
        records: Records,
        versions: Sequence[bytes],
        before: Mapping[str, str],
        after: Mapping[str, Stored],
    ) -> list[int]:
        # Drawn, not counted: two that wrote over the same state must not arrive at the same version.
        records["version"] = self._drawn.integers(1, 1 << 32, len(records), np.uint32)
        starts = range(0, len(users), self._per_write)
        at_once = len(starts) == 1
        head = [*_guard(before), *self._version_at, self._ttl_ms]
        head += _moves(before, after) if at_once else [0]
        answers = overlapped(self._client, self._scripts(users, records, versions, head, starts))
        if FENCED in answers:
            raise FencedError(f"the stored position is not {dict(before)}")
        conflicts = [
            start + int(i) for start, answer in zip(starts, answers, strict=True) for i in answer
        ]
        if not conflicts:
            if not at_once:
                self.move(before, after)
            self._recent.moved({s.encode(): str(after[s]).encode() for s in before})
        return conflicts

    def _scripts(
        self,
        users: Sequence[str],
        records: Records,
        versions: Sequence[bytes],
        head: Sequence[Any],
        starts: range,
    ) -> Iterator[Command]:
        """One EVAL for so many users each; its text is nothing beside the blobs."""
        for start in starts:
            part = users[start : start + starts.step]
            blobs = to_blobs(records[start : start + starts.step])
            pairs = chain.from_iterable(
                zip(versions[start : start + len(part)], blobs, strict=True)
            )
            keys = [self._positions, *map(self._keys.user, part)]
            yield ("EVAL", WRITE_BLOBS, len(keys), *keys, *head, *pairs)

    def rewrite(
        self, users: Sequence[str], records: Records, versions: Sequence[bytes]
    ) -> list[int]:
        """As `write`, of states that say the same in another way: no position has to do with it."""
        self._recent.drop(users)  # and not kept: nobody said that these people are here now
        return self._write(users, records, versions, {}, {})

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
        moves = _moves(before, after)[1:]
        if self._move(keys=[self._positions], args=[*_guard(before), *moves]) == FENCED:
            raise FencedError(f"the stored position is not {dict(before)}")


def _guard(before: Mapping[str, str]) -> list[Any]:
    return [len(before), *(part for pair in before.items() for part in pair)]


def _moves(before: Mapping[str, str], after: Mapping[str, Stored]) -> list[Any]:
    return [len(before), *(part for s in before for part in (s, str(after[s])))]


def _as_dict(answer: Any) -> dict[bytes, bytes]:
    """Of a hash: the newer protocol says it as a mapping, the older as a flat list."""
    if isinstance(answer, dict):
        return answer
    return dict(zip(answer[::2], answer[1::2], strict=True))
