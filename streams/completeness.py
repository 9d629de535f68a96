"""Whether a follower of `video-vectors` has everything of its bundle, so that the bundle may take over."""

from collections.abc import Mapping
from typing import Final

import redis
from confluent_kafka import Consumer, KafkaException, TopicPartition

from contracts.errors import UnavailableError
from contracts.settings import KafkaSettings
from contracts.topics import VIDEO_VECTORS
from streams.follower import TopicFollower
from streams.kafka import client_config
from streams.topics import admin, describe
from streams.vector_marks import VectorMarks

_TIMEOUT_S: Final = 10.0


class Completeness:
    """First the vector flow has to have made all vectors; then the follower has to pass where they end.

    Once complete it stays so: what comes later comes to every bundle of the lineup alike.
    """

    def __init__(
        self, kafka: KafkaSettings, marks: VectorMarks, bundle: str, follower: TopicFollower
    ) -> None:
        self._kafka, self._marks = kafka, marks
        self._bundle, self._follower = bundle, follower
        self._ends: Mapping[str, int] | None = None
        self._complete = False

    def __call__(self) -> bool:
        """Ask; of one thread. False where Kafka or Redis do not say."""
        if self._complete:
            return True
        try:
            if self._ends is None and self._marks.complete(self._bundle):
                self._ends = ends_of(self._kafka, VIDEO_VECTORS.name)
        except (UnavailableError, redis.RedisError):
            return False
        if self._ends is None or not self._follower.caught_up.is_set():
            return False
        at = self._follower.followed.offsets
        self._complete = all(
            source in at and at[source][1] >= end for source, end in self._ends.items()
        )
        return self._complete


def ends_of(kafka: KafkaSettings, topic: str) -> dict[str, int]:
    """Source ("video-vectors:2") -> the offset of the next message, of every partition.

    Raises:
        UnavailableError: Kafka does not answer.
    """
    name = kafka.topic_prefix + topic
    _, count = describe(admin(kafka), [name], _TIMEOUT_S)[name]
    consumer = Consumer(
        client_config(kafka)
        | {"group.id": f"{kafka.topic_prefix}headrace.ends", "enable.auto.commit": False}
    )
    try:
        return {
            f"{topic}:{p}": consumer.get_watermark_offsets(
                TopicPartition(name, p), timeout=_TIMEOUT_S
            )[1]
            for p in range(count)
        }
    except KafkaException as e:
        raise UnavailableError(f"{topic}: {e}") from None
    finally:
        consumer.close()
