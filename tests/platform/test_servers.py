"""The servers that we start ourselves: they come back with what they had, and leave nothing behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
import redis
from confluent_kafka import Consumer, Producer, TopicPartition

from contracts.errors import HeadraceError
from contracts.settings import KafkaSettings
from contracts.topics import EVENTS, VIDEOS
from headrace.servers.apache_kafka import ApacheKafka, missing
from headrace.servers.broker import EmbeddedBroker
from headrace.servers.process import Process, free_port
from headrace.servers.redis import EmbeddedRedis
from streams.topics import create_topics


def wait_until(condition: Callable[[], bool], timeout_s: float = 10.0) -> None:
    give_up_at = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < give_up_at, "it did not happen in time"
        time.sleep(0.02)


@pytest.mark.redis
def test_a_killed_redis_comes_back_on_its_port_with_every_answered_write(
    own_redis: EmbeddedRedis,
) -> None:
    client = redis.Redis.from_url(own_redis.url)
    client.mset({f"k{i}": i for i in range(1000)})
    own_redis.kill()
    with pytest.raises(redis.ConnectionError):
        client.ping()
    own_redis.start()
    assert client.get("k999") == b"999"
    client.close()


@pytest.mark.redis
def test_a_frozen_redis_keeps_the_connection_and_answers_after_the_thaw(
    own_redis: EmbeddedRedis,
) -> None:
    client = redis.Redis.from_url(own_redis.url, socket_timeout=0.2)
    client.ping()
    own_redis.freeze()
    with pytest.raises(redis.TimeoutError):
        client.ping()
    own_redis.thaw()
    assert client.ping()
    client.close()


@pytest.mark.redis
def test_a_server_that_cannot_start_says_what_its_log_says(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path / "a") as first:
        second = EmbeddedRedis(tmp_path / "b", port=first.port)
        second.answers = lambda: False  # type: ignore[method-assign]  # the first would answer
        with pytest.raises(HeadraceError, match=r"(?s)redis did not start.*in use"):
            second.start()


def round_trip(bootstrap: str, topic: str, value: bytes) -> list[bytes]:
    producer = Producer({"bootstrap.servers": bootstrap, "acks": "all"})
    producer.produce(topic, value)
    assert producer.flush(20) == 0
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "t"})
    partitions = consumer.list_topics(topic, 10).topics[topic].partitions
    consumer.assign([TopicPartition(topic, p, 0) for p in partitions])
    got: list[bytes] = []
    wait_until(lambda: _collect(consumer, got) and value in got, 20)
    consumer.close()
    return got


def _collect(consumer: Consumer, into: list[bytes]) -> bool:
    into += [m.value() or b"" for m in consumer.consume(100, 0.2) if m.error() is None]
    return True


@pytest.mark.kafka
def test_the_embedded_broker_takes_our_topics_and_messages_and_forgets_them_when_killed(
    tmp_path: Path,
) -> None:
    with EmbeddedBroker(tmp_path / "broker.log") as broker:
        kafka = KafkaSettings(bootstrap=broker.bootstrap)
        assert all(create_topics(kafka).values())
        assert round_trip(broker.bootstrap, EVENTS.name, b"one") == [b"one"]
        broker.kill()
        broker.start()
        assert create_topics(kafka, [VIDEOS]) == {"videos": True}


@pytest.mark.kafka
@pytest.mark.faults
@pytest.mark.skipif(missing() is not None, reason=f"Apache Kafka needs {missing()}")
def test_a_killed_apache_kafka_comes_back_on_its_port_with_its_messages(
    kafka_factory: Callable[[Path], ApacheKafka], tmp_path: Path
) -> None:
    with kafka_factory(tmp_path) as broker:
        create_topics(KafkaSettings(bootstrap=broker.bootstrap), [EVENTS])
        round_trip(broker.bootstrap, EVENTS.name, b"one")
        broker.kill()
        broker.start()
        assert b"one" in round_trip(broker.bootstrap, EVENTS.name, b"two")


def test_a_process_appends_to_its_log_and_its_status_is_known(tmp_path: Path) -> None:
    child = Process([sys.executable, "-c", "print('hello'); raise SystemExit(3)"], tmp_path / "log")
    for _ in range(2):
        child.start()
        assert child.wait(10) == 3
    assert child.tail() == "hello\nhello"


def test_a_frozen_process_can_be_stopped(tmp_path: Path) -> None:
    child = Process([sys.executable, "-c", "import time; time.sleep(60)"], tmp_path / "log")
    child.start()
    child.freeze()
    assert child.stop(10) == -signal.SIGTERM


@pytest.mark.faults
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="PR_SET_PDEATHSIG is Linux's")
def test_a_server_whose_parent_is_killed_ends_too(tmp_path: Path) -> None:
    port = free_port()
    code = (
        "import pathlib, time; from headrace.servers.redis import EmbeddedRedis\n"
        f"server = EmbeddedRedis(pathlib.Path({str(tmp_path)!r}), {port}).start()\n"
        "print(server.process.pid, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    assert psutil.pid_exists(child)
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    wait_until(lambda: not psutil.pid_exists(child) or _zombie(child))


def _zombie(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
