"""What the user flow cannot read is buried once, with its payload, and the flow goes on."""

import time
from typing import Any

import numpy as np
import redis
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)

from headrace.servers.redis import EmbeddedRedis
from streams.dead_letters import read_dead_letters, replay
from streams.kafka import Publisher
from streams.positions import Stored
from streams.topics import admin
from tests.integration.running import Deployment, eventually
from tests.integration.user_logs import encoded, log_of


def test_malformed_messages_are_buried_with_their_payload_and_the_flow_goes_on(
    engine: Deployment,
) -> None:
    good = log_of(10, 1, seed=8)
    bad = [b"", b"{", b"\xff\xfe", b'{"event_type":"teleport"}', b"[" * 5000, b'"' + b"x" * 900_000]
    engine.start("user-state")
    ends = engine.produce(
        [("events", b"u0", payload) for payload in bad]
        + [("profiles", b"p", b'{"age": -3}'), ("impressions", b"p", b"\x00")]
        + [("events", b"u0", e) for e in encoded(good)]
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
        + [("events", b"u0", e) for e in encoded(good)]
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
