"""Messages to their topics, through a bounded queue; counts what became of them."""

import time
from collections import Counter
from typing import Final

from confluent_kafka import KafkaError
from confluent_kafka import Message as Delivered

from contracts.errors import UnavailableError
from contracts.events import Event, encode_event
from contracts.profiles import encode_profile
from contracts.topics import EVENTS, PROFILES, VIDEOS
from contracts.videos import Video, encode_video
from headrace.replay.rows import Message
from streams.kafka import Publisher

_FULL_S: Final = 0.005  # a full queue is looked at again after so long
_GIVE_UP_S: Final = 30.0


def encoded(message: Message) -> tuple[str, bytes, bytes]:
    """(topic, key, JSON)."""
    if isinstance(message, Event):
        return EVENTS.name, message.user_id.encode(), encode_event(message)
    if isinstance(message, Video):
        return VIDEOS.name, message.video_id.encode(), encode_video(message)
    return PROFILES.name, message.user_id.encode(), encode_profile(message)


class Outbox:
    """Counts `produced` by topic in the caller's thread, `failed` in that of the acknowledgements."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher
        self.produced: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()

    def send(self, message: Message) -> None:
        """Queue it; waits while the queue is full.

        Raises:
            UnavailableError: Kafka has taken nothing for 30 seconds.
        """
        topic, key, value = encoded(message)
        give_up_s = 0.0
        while True:
            try:
                self._publisher.produce(topic, key, value, self._acked)
                break
            except UnavailableError:
                now_s = time.monotonic()
                give_up_s = give_up_s or now_s + _GIVE_UP_S
                if now_s > give_up_s:
                    raise
                time.sleep(_FULL_S)
        self.produced[topic] += 1

    def _acked(self, error: KafkaError | None, _: Delivered) -> None:
        if error is not None:
            self.failed[error.name()] += 1

    def flush(self) -> None:
        """Wait for all acknowledgements.

        Raises:
            UnavailableError: some are missing after 30 seconds.
        """
        self._publisher.flush(_GIVE_UP_S)
