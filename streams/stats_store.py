"""The statistics of each source partition in Redis: large changes, small scripts, one commit.

What changed in a second may be megabytes, and it has to be one with its offset; but a script that
writes it all holds every feed's read up for 10 ms and more. So a change is written as a journal of
its own, in small pieces, and committed by a script that moves the position and names the journal. It
is worked into the state, in small pieces again, before the next one is committed. Killed anywhere,
the state is what lies in the hash with the committed journal on top.
"""

import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
import redis

from contracts.errors import ConfigError, FencedError
from operators.stats_codec import ANEW, Fields
from streams.keys import Keys
from streams.overlapped import Command, overlapped
from streams.positions import Stored
from streams.scripts import COMMIT_JOURNAL, FENCED, WRITE_HASH

# Of one script, which holds reads up while it runs.
_PIECE_BYTES, _PIECE_FIELDS = 32_768, 200
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
    """

    client: redis.Redis
    keys: Keys
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
            raise FencedError(f"{source}: the stored position is not {before}")

    def save(
        self, source: str, before: str, after: Stored, changed: Fields, gone: Sequence[bytes]
    ) -> None:
        """Make a change and its new position durable, as one.

        Raises:
            FencedError: the stored position is not `before`; nothing was committed.
        """
        state, old = self.keys.stats(source), self._open.get(source)
        if old is not None:
            pieces = _pieces(old.changed, old.gone)
            self._guarded(source, before, [_write(state, before, *piece) for piece in pieces])
        one, other = (self.keys.stats_journal(source, self._token + turn) for turn in "ab")
        key = other if old is not None and old.key == one else one  # the committed one stays whole
        content = dict(changed) | {_GONE: msgspec.msgpack.encode(list(gone))}
        overlapped(self.client, _fill(key, content))
        commit = ("EVAL", COMMIT_JOURNAL, 3, state, key, old.key if old else key)
        self._guarded(source, before, [(*commit, 1, _POSITION, before, str(after))])
        self._open[source] = _Journal(key, changed, gone)

    def _guarded(self, source: str, before: str, commands: Sequence[Command]) -> None:
        if FENCED in overlapped(self.client, commands):
            raise FencedError(f"{source}: the stored position is not {before}")

    def _read(self, source: str, key: str) -> _Journal:
        fields: Any = self.client.hgetall(key)
        try:
            gone = msgspec.msgpack.decode(fields.pop(_GONE), type=list[bytes])
        except (KeyError, msgspec.DecodeError):
            state = self.keys.stats(source)
            raise ConfigError(f"the journal {key} of {state} is not readable: {ANEW}") from None
        return _Journal(key, fields, gone)


def _write(state: str, position: str, changed: Sequence[bytes], gone: Sequence[bytes]) -> Command:
    """A piece of a change that is committed already: the position stays."""
    return (
        "EVAL",
        WRITE_HASH,
        1,
        state,
        1,
        _POSITION,
        position,
        position,
        len(gone),
        *gone,
        *changed,
    )


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
