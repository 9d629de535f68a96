"""The topic `models`, followed: which bundle is live, which one is held beside it, what was published."""

import logging
from collections.abc import Callable, Sequence
from typing import Final

from confluent_kafka import Message

from contracts.errors import BadMessageError, UnavailableError
from contracts.lineup import (
    LINEUP_KEY,
    Lineup,
    Published,
    decode_lineup,
    decode_published,
    encode_model,
)
from contracts.settings import KafkaSettings
from contracts.topics import MODELS
from streams.follower import TopicFollower
from streams.kafka import Publisher

_log = logging.getLogger(__name__)
_FLUSH_S: Final = 10.0


class ModelsTopic:
    """Written by one follower thread, read by any.

    Attributes:
        lineup: the newest one; None while none was ever said (then the settings' bundle is live).
        published: id -> what was announced.
        on_lineup: told of every new one, by the follower's thread.
    """

    def __init__(self, kafka: KafkaSettings) -> None:
        self.lineup: Lineup | None = None
        self.published: dict[str, Published] = {}
        self.on_lineup: Callable[[Lineup], object] = lambda _: None
        self._follower = TopicFollower(kafka, (MODELS.name,), self._apply)

    def start(self) -> None:
        """Follow in the background."""
        self._follower.start()

    def caught_up(self, timeout_s: float) -> bool:
        """Wait until all that was there at the start is read; whether it is."""
        return self._follower.caught_up.wait(timeout_s)

    def close(self) -> None:
        """Stop following."""
        self._follower.close()

    def _apply(self, _topic: str, messages: Sequence[Message]) -> None:
        lineup = None
        for m in messages:
            raw = m.key() or b""
            key, value = raw if isinstance(raw, bytes) else raw.encode(), m.value()
            try:
                if key == LINEUP_KEY:
                    lineup = decode_lineup(value or b"")
                elif value is None:
                    self.published.pop(key.decode("utf-8", "replace"), None)
                else:
                    found = decode_published(value)
                    self.published[found.id] = found
            except BadMessageError as e:  # what is live stays live
                _log.error("models@%s: %s", m.offset(), e)
        if lineup is not None:
            self.lineup = lineup
            self.on_lineup(lineup)


def read_models(kafka: KafkaSettings, timeout_s: float) -> ModelsTopic:
    """The topic as of now; it is not followed any further.

    Raises:
        UnavailableError: Kafka does not answer in time.
    """
    topic = ModelsTopic(kafka)
    topic.start()
    try:
        if not topic.caught_up(timeout_s):
            raise UnavailableError(
                f"the topic {MODELS.name!r} at {kafka.bootstrap} was not read within "
                f"{timeout_s:.0f} s; is Kafka there?"
            )
    finally:
        topic.close()
    return topic


def say(publisher: Publisher, record: Published | Lineup) -> None:
    """Put a record on the topic; it is durable on return.

    Raises:
        UnavailableError: Kafka did not take it.
    """
    failed: list[str] = []
    key = LINEUP_KEY if isinstance(record, Lineup) else record.id.encode()
    publisher.produce(
        MODELS.name,
        key,
        encode_model(record),
        lambda error, _: failed.append(str(error)) if error else None,
    )
    publisher.flush(_FLUSH_S)
    if failed:
        raise UnavailableError(f"Kafka refused a record of {MODELS.name!r}: {failed[0]}")
