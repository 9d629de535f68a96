"""The user flow as a process, on real Kafka and Redis: nothing lost, nothing counted twice."""

import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import redis
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    ResourceType,
)

from contracts.events import Event, EventType, encode_event
from contracts.ids import hash64
from contracts.settings import ModelSettings, Settings, UserSettings
from contracts.topics import EVENTS
from contracts.user_record import new_users, user_dtype
from contracts.videos import Video
from headrace.servers.redis import EmbeddedRedis
from model_runtime import bundles
from operators.catalog import Catalog
from operators.derive import derive
from operators.event_columns import RawMessages, decode_events
from operators.offsets import slot_key
from operators.user_fold import UserFold
from streams.dead_letters import read_dead_letters, replay
from streams.kafka import Publisher
from streams.positions import Stored
from streams.topics import admin, create_topics
from tests.integration.running import Deployment, deployment, eventually, made_anew

NOW_MS = 1_790_000_000_000
# What a clean fold of the log cannot know: how often it was written, when, and from which offset.
NOT_COMPARED = ("version", "folded_ms", "newest_ms", "slot_key", "slot_offset", "form")


@pytest.fixture
def engine(settings: Settings, tmp_path: Path) -> Iterator[Deployment]:
    create_topics(settings.kafka)
    with deployment(settings, tmp_path) as running:
        yield running


VIDEOS = [
    Video(f"v{i}", NOW_MS, f"clip {i}", category=("cooking", "chess")[i % 2], duration_ms=20_000,
          creator_id=f"c{i % 5}", tags=("fun",))
    for i in range(20)
]  # fmt: skip
KINDS: tuple[EventType, ...] = (
    "click",
    "watch_complete",
    "like",
    "skip",
    "watch_50_percent",
    "share",
    "follow",
)


def log_of(n: int, people: int, seed: int = 1) -> list[Event]:
    rng = np.random.default_rng(seed)
    return [
        Event(
            f"e{seed}-{i}", f"u{rng.integers(people)}", KINDS[rng.integers(len(KINDS))],
            NOW_MS + i * 50, f"v{rng.integers(25)}",
        )
        for i in range(n)
    ]  # fmt: skip


def clean_fold(events: list[Event], users: list[str]) -> Any:
    """One pass over the log in one process: what the state has to be."""
    bundle = bundles.load(ModelSettings())
    catalog = Catalog(bundle.items.dim)
    catalog.upsert(VIDEOS, bundle.items.embed(VIDEOS), [(0, i) for i in range(len(VIDEOS))])
    n = len(events)
    raw = RawMessages(
        [encode_event(e) for e in events], [None] * n, np.full(n, slot_key(0, "events", 0)),
        np.arange(n), np.full(n, 2 * NOW_MS),
    )  # fmt: skip
    columns, _ = decode_events(raw, 300_000)
    records = new_users(len(columns.users), user_dtype(bundle.users.hidden, bundle.users.dim))
    derive(records, bundle, catalog)
    UserFold(bundle, catalog, UserSettings())(records, columns, {}, NOW_MS)
    row = {user: i for i, user in enumerate(columns.users)}
    return records[[row[u] for u in users]]


def assert_equal_user_by_user(engine: Deployment, events: list[Event]) -> None:
    users = sorted({e.user_id for e in events})
    stored, clean = engine.users(users), clean_fold(events, users)
    for name in stored.dtype.names or ():
        if name not in NOT_COMPARED:
            np.testing.assert_array_equal(stored[name], clean[name], err_msg=name)


def with_catalog(engine: Deployment) -> None:
    ends = engine.send_videos(VIDEOS)
    engine.start("video-vectors")
    eventually(lambda: engine.folded_up_to(ends, "video-vectors"), what="vectors")


def test_the_state_equals_a_clean_fold_of_the_log(engine: Deployment) -> None:
    with_catalog(engine)
    engine.start("user-state")
    events = log_of(3000, 40)
    ends = engine.send_events(events)
    eventually(lambda: engine.folded_up_to(ends))
    assert_equal_user_by_user(engine, events)


@pytest.mark.faults
def test_killed_at_random_moments_under_load_the_state_equals_a_clean_fold(
    engine: Deployment,
) -> None:
    with_catalog(engine)
    events = log_of(20_000, 300, seed=2)
    rng = np.random.default_rng(3)
    sources = [f"events:{p}" for p in range(EVENTS.partitions)]
    ends: dict[str, int] = {}
    for part in range(0, len(events), 4000):
        ends |= engine.send_events(events[part : part + 4000])
        process = engine.start_to_work(
            "user-state",
            lambda: engine.positions("user-state", sources),
            HEADRACE_STREAM__BATCH_EVENTS="100",
        )
        time.sleep(float(rng.uniform(0.0, 0.3)))
        process.kill()
        process.wait()
    engine.start("user-state")
    eventually(lambda: engine.folded_up_to(ends), 60)
    assert_equal_user_by_user(engine, events)


@pytest.mark.faults
def test_an_old_worker_that_wakes_up_after_a_new_one_took_over_is_fenced(
    engine: Deployment,
) -> None:
    with_catalog(engine)
    events = log_of(6000, 50, seed=4)
    old = engine.start("user-state", HEADRACE_STREAM__BATCH_EVENTS="100")
    ends = engine.send_events(events[:2000])
    eventually(lambda: engine.folded_up_to(ends))
    old.send_signal(signal.SIGSTOP)
    engine.start("user-state")
    ends |= engine.send_events(events[2000:4000])
    eventually(lambda: engine.folded_up_to(ends))
    old.send_signal(signal.SIGCONT)
    ends |= engine.send_events(events[4000:])
    eventually(lambda: engine.folded_up_to(ends))
    time.sleep(1.0)  # what the old one still had in hand must not land either
    assert_equal_user_by_user(engine, events)


@pytest.mark.faults
def test_a_redis_that_was_emptied_is_filled_again_from_the_log(engine: Deployment) -> None:
    with_catalog(engine)
    engine.start("user-state")
    events = log_of(2000, 30, seed=5)
    ends = engine.send_events(events[:1500])
    eventually(lambda: engine.folded_up_to(ends))
    client = engine.redis
    for key in client.scan_iter(f"{engine.settings.redis.namespace}:*"):
        client.delete(key)
    client.close()
    ends |= engine.send_events(events[1500:])
    eventually(lambda: engine.folded_up_to(ends))
    assert_equal_user_by_user(engine, events)


@pytest.mark.faults
def test_a_redis_that_came_back_older_is_replayed_forward(engine: Deployment) -> None:
    with_catalog(engine)
    engine.start("user-state")
    events = log_of(3000, 30, seed=6)
    ends = engine.send_events(events[:1000])
    eventually(lambda: engine.folded_up_to(ends))
    client = engine.redis
    keys = list(client.scan_iter(f"{engine.settings.redis.namespace}:*"))
    copy = {key: client.dump(key) for key in keys}
    ends |= engine.send_events(events[1000:2000])
    eventually(lambda: engine.folded_up_to(ends))
    with client.pipeline(transaction=True) as pipe:  # the older copy, all at once
        for key, value in copy.items():
            assert value is not None
            pipe.restore(key, 0, value, replace=True)
        pipe.execute()
    client.close()
    ends |= engine.send_events(events[2000:])
    eventually(lambda: engine.folded_up_to(ends))
    assert_equal_user_by_user(engine, events)


def test_two_processes_share_the_partitions_and_the_users(engine: Deployment) -> None:
    with_catalog(engine)
    for k in "01":
        engine.start(
            "user-state", HEADRACE_STREAM__PROCESS_INDEX=k, HEADRACE_STREAM__PROCESS_COUNT="2"
        )
    events = log_of(3000, 40, seed=7)
    # Keys of another hash than ours: a person's events lie in several partitions.
    ends = engine.produce([("events", f"{i}".encode(), e) for i, e in enumerate(_encoded(events))])
    eventually(lambda: engine.folded_up_to(ends))
    users = sorted({e.user_id for e in events})
    stored, clean = engine.users(users), clean_fold(events, users)
    for name in ("events", "watches", "completes", "likes", "skips", "clicks", "hist_n"):
        np.testing.assert_array_equal(stored[name], clean[name], err_msg=name)


def test_malformed_messages_are_buried_with_their_payload_and_the_flow_goes_on(
    engine: Deployment,
) -> None:
    good = log_of(10, 1, seed=8)
    bad = [b"", b"{", b"\xff\xfe", b'{"event_type":"teleport"}', b"[" * 5000, b'"' + b"x" * 900_000]
    engine.start("user-state")
    ends = engine.produce(
        [("events", b"u0", payload) for payload in bad]
        + [("profiles", b"p", b'{"age": -3}'), ("impressions", b"p", b"\x00")]
        + [("events", b"u0", e) for e in _encoded(good)]
    )
    eventually(lambda: engine.folded_up_to(ends))
    letters = list(read_dead_letters(engine.settings.kafka))
    assert sorted(f.letter.payload for f in letters) == sorted([*bad, b'{"age": -3}', b"\x00"])
    assert all(f.letter.reason and f.letter.offset >= 0 for f in letters)
    assert engine.users(["u0"])["events"][0] == 10
    engine.produce([("dead-letter", None, b"not a letter")])
    assert len(list(read_dead_letters(engine.settings.kafka))) == len(letters)


def test_a_dead_letter_can_be_replayed_and_is_buried_again(engine: Deployment) -> None:
    engine.start("user-state")
    ends = engine.produce([("events", b"u0", b"not json")])
    eventually(lambda: engine.folded_up_to(ends))
    found = list(read_dead_letters(engine.settings.kafka))
    publisher = Publisher(engine.settings.kafka)
    assert replay(found, publisher) == 1
    publisher.close()
    eventually(lambda: len(list(read_dead_letters(engine.settings.kafka))) == 2)


def test_an_empty_message_is_replayed_as_empty_and_a_null_one_as_null(engine: Deployment) -> None:
    engine.start("user-state")
    ends = engine.produce([("events", b"u0", b""), ("events", b"u1", None)])
    eventually(lambda: engine.folded_up_to(ends))
    found = list(read_dead_letters(engine.settings.kafka))
    assert {f.key: f.was_null for f in found} == {b"u0": False, b"u1": True}
    publisher = Publisher(engine.settings.kafka)
    assert replay(found, publisher) == 2
    publisher.close()
    eventually(lambda: len(list(read_dead_letters(engine.settings.kafka))) == 4)
    again = list(read_dead_letters(engine.settings.kafka))
    assert sorted(f.was_null for f in again) == [False, False, True, True]


def test_a_letter_too_large_for_its_topic_is_cut_and_the_flow_goes_on(engine: Deployment) -> None:
    name = engine.settings.kafka.topic_prefix + "dead-letter"
    client = admin(engine.settings.kafka)
    small = ConfigResource(
        ResourceType.TOPIC,
        name,
        incremental_configs=[
            ConfigEntry("max.message.bytes", "200000", incremental_operation=AlterConfigOpType.SET)
        ],
    )
    for done in client.incremental_alter_configs([small]).values():
        done.result(20)
    engine.start("user-state")
    good = log_of(5, 1, seed=13)
    ends = engine.produce(
        [("events", b"u0", np.random.default_rng(1).bytes(900_000))]
        + [("events", b"u0", e) for e in _encoded(good)]
    )
    eventually(lambda: engine.folded_up_to(ends))
    (letter,) = read_dead_letters(engine.settings.kafka)
    assert letter.is_cut
    assert "900000 bytes" in letter.letter.reason
    assert engine.users(["u0"])["events"][0] == 5


def test_a_retried_batch_buries_its_bad_messages_once(
    engine: Deployment, own_redis: EmbeddedRedis
) -> None:
    engine.start("user-state", HEADRACE_REDIS__URL=own_redis.url)
    client = redis.Redis.from_url(own_redis.url)
    key = engine.keys.positions("user-state")
    ends = engine.produce([("events", b"u0", b"first")])
    eventually(lambda: bool(client.hlen(key)))
    own_redis.freeze()
    ends |= engine.produce([("events", b"u0", b"second")] * 3)
    time.sleep(7.0)  # longer than the flow waits for an answer: it tries the batch again
    own_redis.thaw()
    source, end = next(iter(ends.items()))
    eventually(lambda: _offset(client.hget(key, source)) >= end)
    client.close()
    assert len(list(read_dead_letters(engine.settings.kafka))) == 4


def _offset(raw: Any) -> int:
    return Stored.parse(raw).offset if raw else 0


def test_a_topic_that_was_recreated_begins_a_new_generation(engine: Deployment) -> None:
    process = engine.start("user-state")
    first = [Event(f"a{i}", "ann", "click", NOW_MS + i, "v0") for i in range(5)]
    ends = engine.send_events(first)
    eventually(lambda: engine.folded_up_to(ends))
    process.terminate()
    assert process.wait(15) == 0
    made_anew(engine.settings.kafka, EVENTS)
    second = [Event(f"b{i}", "ann", "click", NOW_MS + i, "v0") for i in range(3)]
    ends = engine.send_events(second)
    engine.start("user-state")
    source = next(iter(ends))
    eventually(lambda: (at := engine.positions("user-state", [source])[source]) is not None
               and at.generation == 1 and at.offset >= ends[source])  # fmt: skip
    assert engine.users(["ann"])["events"][0] == 8


def test_partitions_that_are_added_are_read_too(engine: Deployment) -> None:
    engine.start("user-state", HEADRACE_STREAM__PARTITIONS_EVERY_S="0.5")
    ends = engine.send_events(log_of(50, 20, seed=10))
    eventually(lambda: engine.folded_up_to(ends))
    name = engine.settings.kafka.topic_prefix + "events"
    client = admin(engine.settings.kafka)
    client.create_partitions([NewPartitions(name, 12)])[name].result(20)
    events = log_of(200, 60, seed=11)
    eventually(lambda: any(int(s.split(":")[1]) >= 8 for s in engine.send_events(events[:50])))
    ends |= engine.send_events(events)
    eventually(lambda: engine.folded_up_to(ends))


def test_the_consumer_group_shows_the_positions_that_redis_holds(engine: Deployment) -> None:
    engine.start("user-state")
    ends = engine.send_events(log_of(200, 20, seed=12))
    eventually(lambda: engine.folded_up_to(ends))
    prefix = engine.settings.kafka.topic_prefix
    consumer = Consumer(
        {
            "bootstrap.servers": engine.settings.kafka.bootstrap,
            "group.id": f"{prefix}headrace.user-state",
        }
    )
    parts = [TopicPartition(prefix + "events", int(s.split(":")[1])) for s in ends]

    def mirrored() -> bool:
        committed = consumer.committed(parts, timeout=10)
        return all(tp.offset == ends[f"events:{tp.partition}"] for tp in committed)

    eventually(mirrored)
    consumer.close()


def test_an_idle_persons_state_expires(engine: Deployment) -> None:
    engine.start("user-state", HEADRACE_USER__TTL_DAYS="0.00002")  # 1.7 seconds
    ends = engine.send_events([Event("e1", "ann", "click", NOW_MS, "v0")])
    eventually(lambda: engine.folded_up_to(ends))
    eventually(lambda: engine.users(["ann"])["events"][0] == 0, 10, "the state to expire")


def test_a_profile_is_taken_over_and_a_tombstone_forgets(engine: Deployment) -> None:
    engine.start("user-state")
    profile = b'{"user_id":"ann","country":"DE","age":27,"interests":["cooking"]}'
    ends = engine.produce([("profiles", b"ann", profile)])
    ends |= engine.send_events([Event("e1", "ann", "click", 1_700_000_000_000, "v0")])
    eventually(lambda: engine.folded_up_to(ends))
    assert (engine.users(["ann"])["age"][0], engine.users(["ann"])["events"][0]) == (27, 1)
    ends |= engine.produce([("profiles", b"ann", None)])
    eventually(lambda: engine.folded_up_to(ends))
    record = engine.users(["ann"])
    assert record["events"][0] == 0
    assert record["forgotten_ms"][0] > 0
    assert hash64("v0") not in record["hist_video"][0]


def _encoded(events: list[Event]) -> list[bytes]:
    return [encode_event(e) for e in events]
