"""Reading and replaying dead letters, on a real Kafka."""

from contextlib import closing

import pytest

from contracts.engine_records import DeadLetter
from contracts.errors import UnavailableError
from contracts.settings import KafkaSettings
from streams.dead_letters import Found, read_dead_letters, replay
from streams.kafka import Publisher
from streams.topics import create_topics
from tests.integration.running import eventually

pytestmark = pytest.mark.kafka


def test_more_than_the_publishers_queue_holds_is_replayed(kafka: KafkaSettings) -> None:
    create_topics(kafka)
    letter = DeadLetter.of(bytes(900_000), "no JSON", "events", 0, 0, 0)
    letters = (Found(letter, None, False, False, 0, n) for n in range(100))
    with closing(Publisher(kafka)) as publisher:
        assert replay(letters, publisher) == 100


def readable(kafka: KafkaSettings) -> bool:
    try:
        return not list(read_dead_letters(kafka))
    except UnavailableError:
        return False


def test_a_kafka_that_is_too_slow_is_one_known_error(kafka: KafkaSettings) -> None:
    create_topics(kafka)
    eventually(lambda: readable(kafka), what="the topics to be there")
    with pytest.raises(UnavailableError, match="watermark"):
        list(read_dead_letters(kafka, timeout_s=1e-6))
