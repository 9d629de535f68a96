"""A micro-batch holds, of each partition, what comes next, in order, whatever the consumer hands out."""

import time

from confluent_kafka import TIMESTAMP_CREATE_TIME, TIMESTAMP_LOG_APPEND_TIME, Message
from hypothesis import given
from hypothesis import strategies as st

from operators.offsets import slot_key
from streams.batches import batch_of, broker_ms
from streams.positions import Stored

PREFIX = "t."
TOPICS = ("events", "profiles")
GENERATION = 3
fetched = st.lists(  # runs of one partition, as fetches bring them; a rewind brings some again
    st.tuples(st.sampled_from(TOPICS), st.integers(0, 2), st.integers(0, 12), st.integers(1, 5)),
    max_size=8,
)
places = st.dictionaries(
    st.sampled_from([f"{topic}:{p}" for topic in TOPICS for p in range(3)]), st.integers(0, 12)
)


def message(topic: str, partition: int, offset: int, ms: tuple[int, int] = (1, 5)) -> Message:
    value, key = b"%d" % offset, f"{topic}{partition}".encode()
    return Message(
        topic=PREFIX + topic, partition=partition, offset=offset, value=value, key=key, timestamp=ms
    )


@given(fetched, places)
def test_each_message_comes_once_in_order_and_none_from_before_the_place(
    runs: list[tuple[str, int, int, int]], at: dict[str, int]
) -> None:
    messages = [
        message(topic, p, offset)
        for topic, p, first, n in runs
        for offset in range(first, first + n)
    ]
    expected: dict[str, list[int]] = {source: [] for source in at}
    for topic, p, first, n in runs:
        for offset in range(first, first + n):
            if (source := f"{topic}:{p}") in at and offset >= max(
                at[source], *(o + 1 for o in expected[source]), 0
            ):
                expected[source].append(offset)
    stored = {source: f"stored {source}" for source in at}
    here = {source: Stored(GENERATION, "id", offset) for source, offset in at.items()}
    batch = batch_of(messages, PREFIX, here, stored)
    taken = {source: offsets for source, offsets in expected.items() if offsets}
    assert (batch is None) == (not taken)
    if batch is None:
        return
    assert batch.before == {source: stored[source] for source in taken}
    assert batch.after == {s: Stored(GENERATION, "id", o[-1] + 1) for s, o in taken.items()}
    for source, offsets in taken.items():
        topic, _, number = source.partition(":")
        raw = batch.messages[topic]
        mine = [
            i
            for i, key in enumerate(raw.slot_keys)
            if key == slot_key(GENERATION, topic, int(number))
        ]
        assert raw.offsets[mine].tolist() == offsets
        assert [raw.values[i] for i in mine] == [b"%d" % offset for offset in offsets]
        assert {raw.keys[i] for i in mine} == {f"{topic}{number}".encode()}
    assert sum(map(len, batch.messages.values())) == sum(map(len, taken.values()))


def test_the_brokers_clock_is_believed_and_a_producers_only_up_to_our_own() -> None:
    future = 1 << 52
    stamps = [
        (TIMESTAMP_LOG_APPEND_TIME, future), (TIMESTAMP_LOG_APPEND_TIME, -1),
        (TIMESTAMP_CREATE_TIME, 7), (TIMESTAMP_CREATE_TIME, future), (TIMESTAMP_CREATE_TIME, -1),
    ]  # fmt: skip
    before_ms = time.time_ns() // 1_000_000
    first, none, past, ahead, unknown = broker_ms(
        [message("events", 0, i, stamp) for i, stamp in enumerate(stamps)]
    ).tolist()
    assert (first, none, past) == (future, 0, 7)
    assert before_ms <= ahead == unknown <= time.time_ns() // 1_000_000
    assert broker_ms([]).tolist() == []
