"""Making the topics, and what the broker knows of them."""

from collections.abc import Sequence

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from contracts.errors import UnavailableError
from contracts.settings import KafkaSettings
from contracts.topics import TOPICS, Topic
from streams.kafka import client_config


def admin(kafka: KafkaSettings) -> AdminClient:
    """An admin client."""
    return AdminClient(client_config(kafka))


def create_topics(
    kafka: KafkaSettings, topics: Sequence[Topic] = TOPICS, timeout_s: float = 30.0
) -> dict[str, bool]:
    """Logical name -> whether it was made now (False: it was there, and is left as it is).

    Raises:
        UnavailableError: the broker does not answer, or refuses.
    """
    new = [
        NewTopic(
            kafka.topic_prefix + t.name, t.partitions, kafka.replication_factor, config=t.config
        )
        for t in topics
    ]
    client = admin(kafka)  # held until the answers are in: collected, it fails them all
    futures = client.create_topics(new, operation_timeout=timeout_s, request_timeout=timeout_s)
    made = {}
    for topic in topics:
        try:
            futures[kafka.topic_prefix + topic.name].result(timeout_s)
            made[topic.name] = True
        except KafkaException as e:
            if e.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise UnavailableError(f"cannot create topic {topic.name}: {e}") from None
            made[topic.name] = False
        except TimeoutError:
            raise UnavailableError(f"no answer from Kafka at {kafka.bootstrap}") from None
    return made


def describe(
    client: AdminClient, names: Sequence[str], timeout_s: float = 10.0
) -> dict[str, tuple[str, int]]:
    """Full name -> (topic id, number of partitions).

    Raises:
        UnavailableError: the broker does not answer, or a topic does not exist.
    """
    futures = client.describe_topics(TopicCollection(list(names)), request_timeout=timeout_s)
    out = {}
    for name, future in futures.items():
        try:
            topic = future.result(timeout_s)
        except TimeoutError:
            raise UnavailableError(f"no answer from Kafka about topic {name}") from None
        except KafkaException as e:
            raise UnavailableError(
                f"topic {name}: {e}; if it does not exist, run `headrace topics create`"
            ) from None
        out[name] = (str(topic.topic_id), len(topic.partitions))
    return out
