"""Messages as the consumer hands them out -> one micro-batch of columns."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

import numpy as np
from confluent_kafka import TIMESTAMP_LOG_APPEND_TIME, Message
from numpy.typing import NDArray

from operators.event_columns import RawMessages
from operators.offsets import slot_key
from streams.positions import Stored


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """One micro-batch.

    Attributes:
        messages: logical topic -> its messages, each partition in offset order.
        before: source ("events:3") -> the stored position that the batch was read from, "" if none.
        after: source -> the position once the batch is folded.
    """

    messages: Mapping[str, RawMessages]
    before: Mapping[str, str]
    after: Mapping[str, Stored]


@dataclass(slots=True)
class _Rows:
    """What has come of one topic."""

    messages: list[Message] = field(default_factory=list)
    offsets: list[int] = field(default_factory=list)
    slot_keys: list[int] = field(default_factory=list)

    def raw(self) -> RawMessages:
        return RawMessages(
            [m.value() for m in self.messages],
            [m.key() for m in self.messages],
            np.array(self.slot_keys, np.int64),
            np.array(self.offsets, np.int64),
            broker_ms(self.messages),
        )


def batch_of(
    messages: Sequence[Message], prefix: str, at: Mapping[str, Stored], stored: Mapping[str, str]
) -> Batch | None:
    """The messages that are next to be folded; None if none is.

    What lies before `at` was fetched before a rewind: assigning anew does not empty what was queued.

    Args:
        prefix: what the topics' names begin with.
        at: source -> the next position to read.
        stored: source -> its position as it is stored.
    """
    rows: dict[str, _Rows] = {}
    after: dict[str, Stored] = {}
    for (name, partition), run in groupby(messages, _place):  # a fetch brings runs of hundreds
        topic = name[len(prefix) :]
        source = f"{topic}:{partition}"
        place = after.get(source) or at.get(source)
        if place is None:
            continue
        begin, of = place.offset, rows.setdefault(topic, _Rows())
        had, offset = len(of.offsets), begin - 1
        for m in run:
            if (its := m.offset() or 0) > offset:
                offset = its
                of.messages.append(m)
                of.offsets.append(offset)
        if new := len(of.offsets) - had:
            of.slot_keys += [slot_key(place.generation, topic, partition)] * new
            after[source] = Stored(place.generation, place.topic_id, offset + 1)
    if not after:
        return None
    raw = {topic: of.raw() for topic, of in rows.items() if of.messages}
    return Batch(raw, {source: stored[source] for source in after}, after)


def _place(message: Message) -> tuple[str, int]:
    return message.topic() or "", message.partition() or 0


def broker_ms(messages: Sequence[Message]) -> NDArray[np.int64]:
    """(n,) the broker's clock; a topic that keeps the producer's is not believed beyond our own."""
    now_ms = time.time_ns() // 1_000_000
    kind, ms = np.array([m.timestamp() for m in messages], np.int64).reshape(-1, 2).T
    believed = np.where(ms > 0, np.minimum(ms, now_ms), now_ms)
    out: NDArray[np.int64] = np.where(
        kind == TIMESTAMP_LOG_APPEND_TIME, np.maximum(ms, 0), believed
    )
    return out
