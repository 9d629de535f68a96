"""The statistics of each source partition in Redis: a change and its position are one.

As a rule a change is one transaction: some thousand fields, which hold a feed's read up for some
milliseconds. After an outage it may be megabytes. Such a one is written as a journal of its own, in
pieces, and committed by a script that moves the position and names the journal. It is worked into
the state, in pieces again, before the next change is committed. Killed anywhere, the state is what
lies in the hash with the committed journal on top.
"""

import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, Final

import msgspec
import redis

from contracts.errors import ConfigError, FencedError
from operators.stats_codec import ANEW, Fields
from streams.keys import Keys
from streams.overlapped import Command, guarded, overlapped
from streams.positions import Stored
from streams.scripts import COMMIT_JOURNAL, FENCED

# Of one transaction, which holds reads up while it runs: of the whole change, and of a piece of one.
_LARGEST_BYTES, _LARGEST_FIELDS = 1 << 20, 8192
_PIECE_BYTES, _PIECE_FIELDS = 1 << 17, 1000
_ABANDONED_S: Final = 3600  # a journal that nobody committed is gone after so long
_POSITION, _JOURNAL, _GONE = b"position", b"journal", b"gone"


@dataclass(frozen=True, slots=True)
class _Journal:
    """A change that is committed, and not worked into the state yet."""

    key: str
    changed: Mapping[bytes, bytes]
    gone: Sequence[bytes]


@dataclass
class StatsStore:
    """Reads and writes states by source ("events:3"). Belongs to the thread of the flow.

    Every method raises redis.RedisError when Redis does not answer; then it may be called again.

    Attributes:
        largest: fields of a change that is written at once, without a journal.
    """

    client: redis.Redis
    keys: Keys
    largest: int = _LARGEST_FIELDS
    _open: dict[str, _Journal] = field(default_factory=dict)
    _token: str = field(default_factory=lambda: secrets.token_hex(4))

    def load(self, source: str, before: str) -> Fields:
        """The state whose position is `before`.

        Raises:
            FencedError: it is at another position.
            ConfigError: its journal is gone; the message says what to delete.
        """
        fields: Any = self.client.hgetall(self.keys.stats(source))
        if fields.pop(_POSITION, b"") != before.encode():
            raise FencedError(f"{source}: the stored statistics are not of {before!r}")
        self._open.pop(source, None)
        if key := fields.pop(_JOURNAL, b"").decode():
            journal = self._open[source] = self._read(source, key)
            for name in journal.gone:
                fields.pop(name, None)
            fields |= journal.changed
        return dict(fields)

    def check(self, source: str, before: str) -> None:
        """Before states are published: a worker that slept must not have the last word on a topic.

        Raises:
            FencedError: the stored position is not `before`.
        """
        if (self.client.hget(self.keys.stats(source), "position") or b"") != before.encode():
            raise _fenced(source, before)

    def save(
        self, source: str, before: str, after: Stored, changed: Fields, gone: Sequence[bytes]
    ) -> None:
        """Make a change and its new position durable, as one.

        Raises:
            FencedError: the stored position is not `before`; nothing was committed, unless by a call
                before this one whose answer was lost.
        """
        old = self._open.get(source)
        if old is not None:
            for piece in _pieces(old.changed, old.gone):
                self._write(source, before, _writes(self.keys.stats(source), *piece))
        if self._is_small(changed, gone):
            self._save_at_once(source, before, after, changed, gone)
        else:
            self._save_as_journal(source, before, after, changed, gone)

    def _is_small(self, changed: Fields, gone: Sequence[bytes]) -> bool:
        size = sum(map(len, changed.values()))
        return len(changed) + len(gone) <= self.largest and size <= _LARGEST_BYTES

    def _save_at_once(
        self, source: str, before: str, after: Stored, changed: Fields, gone: Sequence[bytes]
    ) -> None:
        state, old = self.keys.stats(source), self._open.get(source)
        commands = _writes(state, list(chain.from_iterable(changed.items())), gone)
        if old is not None:
            commands += [("HDEL", state, _JOURNAL), ("UNLINK", old.key)]
        self._write(source, before, [*commands, ("HSET", state, _POSITION, str(after))])
        self._open.pop(source, None)

    def _save_as_journal(
        self, source: str, before: str, after: Stored, changed: Fields, gone: Sequence[bytes]
    ) -> None:
        state, old = self.keys.stats(source), self._open.get(source)
        one, other = (self.keys.stats_journal(source, self._token + turn) for turn in "ab")
        key = other if old is not None and old.key == one else one  # the committed one stays whole
        content = dict(changed) | {_GONE: msgspec.msgpack.encode(list(gone))}
        overlapped(self.client, _fill(key, content))
        commit = ("EVAL", COMMIT_JOURNAL, 3, state, key, old.key if old else key)
        if FENCED in overlapped(self.client, [(*commit, 1, _POSITION, before, str(after))]):
            raise _fenced(source, before)
        self._open[source] = _Journal(key, changed, gone)

    def _write(self, source: str, before: str, commands: Sequence[Command]) -> None:
        """All of them, while the position is `before`. A script would be handed copies of it all."""
        state = self.keys.stats(source)

        def check(position: bytes | None) -> None:
            if (position or b"") != before.encode():
                raise _fenced(source, before)

        try:
            guarded(self.client, state, ("HGET", state, _POSITION), check, commands)
        except redis.WatchError:
            self.check(source, before)  # somebody else wrote
            raise

    def _read(self, source: str, key: str) -> _Journal:
        fields: Any = self.client.hgetall(key)
        try:
            gone = msgspec.msgpack.decode(fields.pop(_GONE), type=list[bytes])
        except (KeyError, msgspec.DecodeError):
            state = self.keys.stats(source)
            raise ConfigError(f"the journal {key} of {state} is not readable: {ANEW}") from None
        return _Journal(key, fields, gone)


def _fenced(source: str, before: str) -> FencedError:
    return FencedError(f"{source}: the stored position is not {before!r}")


def _writes(state: str, changed: Sequence[bytes], gone: Sequence[bytes]) -> list[Command]:
    commands: list[Command] = [("HSET", state, *changed)] if changed else []
    return commands + ([("HDEL", state, *gone)] if gone else [])


def _fill(key: str, content: Mapping[bytes, bytes]) -> Iterator[Command]:
    yield ("UNLINK", key)
    for flat, _ in _pieces(content, ()):
        yield ("HSET", key, *flat)
    yield ("EXPIRE", key, _ABANDONED_S)


def _pieces(
    changed: Mapping[bytes, bytes], gone: Sequence[bytes]
) -> Iterator[tuple[list[bytes], list[bytes]]]:
    """(names and values in turns, names to delete), in small pieces."""
    flat: list[bytes] = []
    size = 0
    for name, value in changed.items():
        flat += (name, value)
        size += len(name) + len(value)
        if size >= _PIECE_BYTES or len(flat) >= 2 * _PIECE_FIELDS:
            yield flat, []
            flat, size = [], 0
    if flat:
        yield flat, []
    for start in range(0, len(gone), _PIECE_FIELDS):
        yield [], list(gone[start : start + _PIECE_FIELDS])
