"""A follower of compacted topics, on a real Kafka."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from confluent_kafka import Consumer

from contracts.settings import KafkaSettings
from contracts.topics import VIDEO_STATS
from streams.follower import TopicFollower
from streams.kafka import Publisher, client_config
from streams.topics import create_topics
from tests.integration.running import eventually, made_anew

pytestmark = pytest.mark.kafka


@contextmanager
def consuming(kafka: KafkaSettings) -> Iterator[Consumer]:
    consumer = Consumer(client_config(kafka) | {"group.id": "test.follower"})
    yield consumer
    consumer.close()


def test_a_topic_that_was_made_again_with_fewer_partitions_is_followed_to_its_end(
    kafka: KafkaSettings,
) -> None:
    topic = replace(VIDEO_STATS, partitions=4)
    create_topics(kafka, [topic])
    publisher = Publisher(kafka)
    for key in range(40):
        publisher.produce(topic.name, b"%d" % key, b"never applied")
    publisher.close()
    follower = TopicFollower(kafka, [topic.name], lambda *_: None)
    with consuming(kafka) as consumer:
        follower._assign(consumer)
        assert not follower.caught_up.is_set()
    made_anew(kafka, replace(topic, partitions=2))
    eventually(follower._changed, what="the topic to be seen")
    with consuming(kafka) as consumer:
        follower._assign(consumer)
    assert set(follower.followed.offsets) == {f"{topic.name}:0", f"{topic.name}:1"}
    assert not follower._changed()
    assert follower.caught_up.is_set()
