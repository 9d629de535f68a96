"""A wrong address, a port that nobody listens on, a host that says nothing: clear words, in time."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from contracts.settings import Settings
from headrace.servers.process import free_port
from streams.topics import create_topics
from tests.integration.running import Deployment, deployment, eventually

pytestmark = [pytest.mark.faults, pytest.mark.slow]
NOBODY = "nowhere.invalid"


@contextmanager
def silent() -> Iterator[int]:
    """A port where connections are taken and nothing is ever said."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        yield listener.getsockname()[1]


def headrace(*words: str, **environ: str) -> "subprocess.CompletedProcess[str]":
    clean = {k: v for k, v in os.environ.items() if not k.startswith("HEADRACE_")}
    return subprocess.run(
        [sys.executable, "-m", "headrace", *words],
        env=clean | environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_a_command_that_does_not_find_kafka_names_the_address_and_the_reason() -> None:
    refused = f"127.0.0.1:{free_port()}"
    for where, why in ((refused, "Connection refused"), (f"{NOBODY}:9092", "Failed to resolve")):
        done = headrace("topics", "create", HEADRACE_KAFKA__BOOTSTRAP=where)
        assert done.returncode == 1
        assert done.stderr.startswith(f"headrace: no answer from Kafka at {where}")
        assert why in done.stderr
        assert done.stderr.count("\n") == 1


def test_a_flow_whose_kafka_is_nowhere_says_so_and_ends_when_told(tmp_path: Path) -> None:
    where = f"127.0.0.1:{free_port()}"
    log = tmp_path / "flow.log"
    with log.open("wb") as out:
        flow = subprocess.Popen(
            [sys.executable, "-m", "headrace", "stream", "video-stats"],
            env=os.environ | {"HEADRACE_KAFKA__BOOTSTRAP": where},
            stdout=out,
            stderr=out,
        )
    try:
        said = f"no answer from Kafka at {where}"
        eventually(lambda: said in log.read_text() and "refused" in log.read_text(), 60, said)
        flow.send_signal(signal.SIGTERM)
        assert flow.wait(30) == 0
    finally:
        flow.kill()
        flow.wait()


@pytest.mark.parametrize("kind", ["refused", "unknown", "silent"])
def test_a_flow_whose_redis_is_nowhere_says_why_and_goes_on_when_it_is_there(
    kind: str, settings: Settings, tmp_path: Path
) -> None:
    create_topics(settings.kafka)
    with silent() as port, deployment(settings, tmp_path) as engine:
        where, why = {
            "refused": (f"127.0.0.1:{free_port()}", "Connection refused"),
            "unknown": (f"{NOBODY}:6379", "not known"),
            "silent": (f"127.0.0.1:{port}", "Redis: Timeout reading"),
        }[kind]
        flow = engine.start(
            "video-stats",
            HEADRACE_REDIS__URL=f"redis://{where}/0",
            HEADRACE_REDIS__WRITE_TIMEOUT_S="1",
        )
        log = next(tmp_path.glob("video-stats*.log"))
        eventually(lambda: why in log.read_text(), 60, f"{why!r} in the log")
        assert "waits: Redis: " in log.read_text()
        assert flow.poll() is None
        flow.send_signal(signal.SIGTERM)
        assert flow.wait(30) == 0


@pytest.mark.parametrize("kind", ["refused", "unknown", "silent"])
def test_an_api_whose_redis_is_nowhere_answers_feeds_and_says_why_it_knows_nobody(
    kind: str, settings: Settings, tmp_path: Path
) -> None:
    create_topics(settings.kafka)
    with silent() as port, Serving(settings, tmp_path) as api:
        where, why = {
            "refused": (f"127.0.0.1:{free_port()}", "Connection"),
            "unknown": (f"{NOBODY}:6379", "Redis"),
            "silent": (f"127.0.0.1:{port}", "Timeout"),
        }[kind]
        url = api.start(HEADRACE_REDIS__URL=f"redis://{where}/0", HEADRACE_REDIS__TIMEOUT_S="0.05")
        for _ in range(3):
            page = httpx.get(f"{url}/v1/recommendations/feed?user_id=ann", timeout=5)
            assert page.status_code == 200
            assert page.json()["degraded"] is not None  # without any video it is the last rung
        known = httpx.get(f"{url}/v1/users/ann", timeout=5)
        assert (known.status_code, known.headers["retry-after"]) == (503, "1")
        assert known.json()["detail"].startswith("Redis: ")
        assert why in known.json()["detail"]


def test_an_api_whose_kafka_is_nowhere_says_so_and_answers(
    settings: Settings, tmp_path: Path
) -> None:
    where = f"127.0.0.1:{free_port()}"
    with Serving(settings, tmp_path) as api:
        url = api.start(HEADRACE_KAFKA__BOOTSTRAP=where)
        ready = httpx.get(f"{url}/readyz", timeout=5)
        assert ready.status_code == 503
        assert "Kafka is away" in ready.text
        assert httpx.get(f"{url}/v1/recommendations/feed?user_id=ann", timeout=5).status_code == 200
        event = {
            "event_id": "1",
            "user_id": "ann",
            "video_id": "v",
            "event_type": "click",
            "timestamp": 1_790_000_000,
        }
        posted = httpx.post(f"{url}/v1/events", json=event, timeout=10)
        assert (posted.status_code, posted.headers["retry-after"]) == (503, "1")
        assert "Kafka" in posted.json()["detail"]
        rung = [
            line
            for line in httpx.get(f"{url}/metrics").text.splitlines()
            if line.startswith("headrace_refused_total")
        ]
        assert rung == ["headrace_refused_total 1.0"]


class Serving(Deployment):
    """The API alone."""

    def __enter__(self) -> "Serving":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self, **more: str) -> str:  # type: ignore[override]
        port = free_port()
        log = (self.log_dir / "api.log").open("wb")
        more = {"HEADRACE_API__PORT": str(port), "HEADRACE_API__TOKEN_SECRET": "0" * 64} | more
        self.processes.append(
            subprocess.Popen(
                [sys.executable, "-m", "headrace", "serve"],
                env=self.environ | more,
                stdout=log,
                stderr=log,
            )
        )
        log.close()
        url = f"http://127.0.0.1:{port}"

        def answers() -> bool:
            try:
                return httpx.get(f"{url}/healthz", timeout=1).status_code == 200
            except httpx.HTTPError:
                time.sleep(0.1)
                return False

        eventually(answers, 150, "the API to answer")
        return url
