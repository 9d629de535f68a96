"""Making the topics, and what the broker knows of them."""

from collections.abc import Sequence

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from contracts.errors import UnavailableError
from contracts.settings import KafkaSettings
from contracts.topics import TOPICS, Topic
from streams.kafka import client_config


class _Heard:
    """The last that a client heard; apart from the client, which would else hold itself alive."""

    def __init__(self) -> None:
        self.last = ""

    def __call__(self, error: KafkaError) -> None:
        if error.code() != KafkaError._ALL_BROKERS_DOWN:  # noqa: SLF001 (librdkafka's own name)
            self.last = f": {error.str()}"


class Admin(AdminClient):
    """An admin client that knows why the broker does not answer."""

    def __init__(self, kafka: KafkaSettings) -> None:
        self._bootstrap, self._heard = kafka.bootstrap, _Heard()
        super().__init__(client_config(kafka) | {"error_cb": self._heard})

    def away(self) -> UnavailableError:
        """The broker has not answered: its address, and the last that the client heard of it."""
        self.poll(0)
        return UnavailableError(f"no answer from Kafka at {self._bootstrap}{self._heard.last}")


def admin(kafka: KafkaSettings) -> Admin:
    """An admin client."""
    return Admin(kafka)


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
            if e.args[0].code() == KafkaError._TIMED_OUT:  # noqa: SLF001
                raise client.away() from None
            if e.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise UnavailableError(f"cannot create topic {topic.name}: {e}") from None
            made[topic.name] = False
        except TimeoutError:
            raise client.away() from None
    return made


def describe(
    client: Admin, names: Sequence[str], timeout_s: float = 10.0
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
            raise client.away() from None
        except KafkaException as e:
            raise _why_not(client, name, e.args[0]) from None
        out[name] = (str(topic.topic_id), len(topic.partitions))
    return out


def _why_not(client: Admin, name: str, error: KafkaError) -> UnavailableError:
    if error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
        return UnavailableError(f"topic {name} does not exist; run `headrace topics create`")
    if error.code() == KafkaError._TIMED_OUT:  # noqa: SLF001
        return client.away()
    return UnavailableError(f"topic {name}: {error.str()}")
