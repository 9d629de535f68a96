"""Positions: what a client holds as a token, and what Redis holds beside the state."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import redis

from contracts.errors import ConfigError, TokenError
from operators.offsets import TOPIC_CODES, slot_key


@dataclass(frozen=True, slots=True)
class Position:
    """Where one message stands. `topic` is the logical name, without a prefix.

    >>> str(Position.parse("events:3:1234"))
    'events:3:1234'
    """

    topic: str
    partition: int
    offset: int

    @classmethod
    def parse(cls, text: str) -> "Position":
        """Raises TokenError if the text is no position token."""
        topic, _, rest = text.partition(":")
        partition, _, offset = rest.partition(":")
        if topic not in TOPIC_CODES or not _is_int(partition, 8) or not _is_int(offset, 19):
            raise TokenError(f"not a position token: {text[:80]!r}; it looks like events:3:1234")
        return cls(topic, int(partition), int(offset))

    def __str__(self) -> str:
        return f"{self.topic}:{self.partition}:{self.offset}"


def _is_int(text: str, digits: int) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= digits


@dataclass(frozen=True, slots=True)
class Stored:
    """The position of one partition as Redis holds it.

    Attributes:
        generation: grows each time the topic is found recreated, so that offsets stay comparable.
        topic_id: Kafka's own id of the topic.
        offset: of the next message to fold.
    """

    generation: int
    topic_id: str
    offset: int

    @property
    def version(self) -> int:
        """Grows with every message of the partition, also where the topic was made anew."""
        return self.generation << 48 | self.offset

    @classmethod
    def parse(cls, raw: bytes | str) -> "Stored":
        """From `str(self)`.

        Raises:
            ConfigError: something else was stored there.
        """
        text = raw if isinstance(raw, str) else raw.decode("utf-8", "replace")
        generation, _, rest = text.partition(":")
        topic_id, _, offset = rest.partition(":")
        if not _is_int(generation, 9) or not _is_int(offset, 18):
            raise ConfigError(
                f"a stored position reads {text[:80]!r}, not generation:topic:offset: delete its "
                "field in Redis, and the partition is read again from its beginning"
            )
        return cls(int(generation), topic_id, int(offset))

    def __str__(self) -> str:
        return f"{self.generation}:{self.topic_id}:{self.offset}"


@dataclass(frozen=True, slots=True)
class FlowPositions:
    """All positions of a flow in one hash (`Keys.positions`)."""

    client: redis.Redis
    key: str

    def load(self, sources: Sequence[str]) -> dict[str, Stored | None]:
        """Stored position of each source ("events:3"); None where there is none."""
        if not sources:
            return {}
        values = self.client.hmget(self.key, list(sources))
        return {
            source: None if raw is None else Stored.parse(raw)
            for source, raw in zip(sources, values, strict=True)
        }


@dataclass(frozen=True, slots=True)
class StatePositions:
    """Positions that lie inside the state of each source: field `position` of its own hash."""

    client: redis.Redis
    key_of: Any

    def load(self, sources: Sequence[str]) -> dict[str, Stored | None]:
        """Stored position of each source; None where there is none."""
        pipe = self.client.pipeline(transaction=False)
        for source in sources:
            pipe.hget(self.key_of(source), "position")
        values = pipe.execute() if sources else []
        return {
            source: None if raw is None else Stored.parse(raw)
            for source, raw in zip(sources, values, strict=True)
        }


def durable_offsets(stored: Mapping[bytes, bytes]) -> dict[int, int]:
    """Slot key -> next offset, of every partition that any process of the flow has stored."""
    out = {}
    for source, raw in stored.items():
        topic, _, partition = source.decode().rpartition(":")
        position = Stored.parse(raw)
        out[slot_key(position.generation, topic, int(partition))] = position.offset
    return out
