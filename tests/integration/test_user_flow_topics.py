"""Topics that change under the user flow, and its positions as Kafka shows them."""

from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import NewPartitions  # type: ignore[attr-defined]

from contracts.events import Event
from contracts.topics import EVENTS
from streams.topics import admin
from tests.integration.running import Deployment, eventually, made_anew
from tests.integration.user_logs import NOW_MS, log_of


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
