"""Kafka clients: librdkafka's configuration from settings, and a publisher with acknowledgements."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from contracts.errors import BadMessageError, UnavailableError
from contracts.settings import KafkaSettings
from contracts.topics import LARGEST_MESSAGE_BYTES

Headers = list[tuple[str, str | bytes | None]]
OnAck = Callable[[KafkaError | None, Message], None]


def client_config(kafka: KafkaSettings) -> dict[str, Any]:
    """Configuration of librdkafka for any client: address and security."""
    config: dict[str, Any] = {
        "bootstrap.servers": kafka.bootstrap,
        "security.protocol": kafka.security_protocol,
        "sasl.mechanism": kafka.sasl_mechanism,
        "sasl.username": kafka.sasl_username,
        "sasl.password": kafka.sasl_password and kafka.sasl_password.get_secret_value(),
        "ssl.ca.location": kafka.ssl_ca_location and str(kafka.ssl_ca_location),
        "ssl.certificate.location": kafka.ssl_certificate_location
        and str(kafka.ssl_certificate_location),
        "ssl.key.location": kafka.ssl_key_location and str(kafka.ssl_key_location),
        "message.max.bytes": LARGEST_MESSAGE_BYTES,
        # Reconnect soon after a broker comes back: its default of 10 s would be our outage.
        "reconnect.backoff.ms": 50,
        "reconnect.backoff.max.ms": 1000,
        "log_level": 2,  # a broker that is away is said by the flows, once a try
    }
    return {name: value for name, value in config.items() if value is not None}


def producer_config(kafka: KafkaSettings, linger_ms: float = 2.0) -> dict[str, Any]:
    """Idempotent, acks=all, bounded queue."""
    return client_config(kafka) | {
        "acks": "all",
        "enable.idempotence": True,
        "linger.ms": linger_ms,
        "compression.type": "lz4",
        "queue.buffering.max.kbytes": 65_536,
        "delivery.timeout.ms": 10_000,
        # The hash of the Java clients, so that a key lies where other producers put it.
        "partitioner": "murmur2_random",
    }


class Publisher:
    """A producer whose acknowledgements are served by a thread of its own.

    `topic` is always the logical name; the prefix of the settings is added here.
    """

    def __init__(self, kafka: KafkaSettings, linger_ms: float = 2.0) -> None:
        self._producer = Producer(producer_config(kafka, linger_ms))
        self._prefix = kafka.topic_prefix
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._poll, name="kafka-acks", daemon=True)
        self._thread.start()

    def _poll(self) -> None:
        while not self._closed.is_set():
            self._producer.poll(0.1)

    def produce(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        on_ack: OnAck | None = None,
        headers: Headers | None = None,
    ) -> None:
        """Queue one message; returns at once.

        Raises:
            UnavailableError: the bounded queue is full, that is, Kafka does not take any.
            BadMessageError: the message is larger than any that we send.
        """
        try:
            self._producer.produce(
                self._prefix + topic, value, key, on_delivery=on_ack, headers=headers or []
            )
        except KafkaException as e:
            if e.args[0].code() == KafkaError.MSG_SIZE_TOO_LARGE:
                raise BadMessageError(
                    f"{len(value or b'')} bytes are too many for {topic}"
                ) from None
            raise UnavailableError(f"Kafka takes no message for {topic}: {e}") from None
        except BufferError as e:
            raise UnavailableError(f"Kafka takes no message for {topic}: {e}") from None

    async def send(
        self, topic: str, key: bytes | None, value: bytes | None, timeout_s: float
    ) -> tuple[int, int]:
        """(partition, offset) once every in-sync replica has the message.

        Raises:
            UnavailableError: it has not within `timeout_s`.
        """
        loop = asyncio.get_running_loop()
        done: asyncio.Future[tuple[int, int]] = loop.create_future()

        def settle(error: KafkaError | None, message: Message) -> None:
            if done.done():  # the caller has given up
                return
            if error is not None:
                done.set_exception(UnavailableError(f"Kafka refused: {error.str()}"))
            else:
                done.set_result((message.partition() or 0, message.offset() or 0))

        def acked(error: KafkaError | None, message: Message) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(settle, error, message)

        self.produce(topic, key, value, acked)
        try:
            return await asyncio.wait_for(done, timeout_s)
        except TimeoutError:
            raise UnavailableError(f"Kafka did not answer within {timeout_s} s") from None

    def flush(self, timeout_s: float) -> None:
        """Wait until all that was queued is acknowledged.

        Raises:
            UnavailableError: it is not within `timeout_s`.
        """
        if left := self._producer.flush(timeout_s):
            raise UnavailableError(f"Kafka has not taken {left} messages within {timeout_s} s")

    def close(self, timeout_s: float = 5.0) -> None:
        """Flush what can be flushed and stop the thread."""
        self._producer.flush(timeout_s)
        self._closed.set()
        self._thread.join(2.0)
