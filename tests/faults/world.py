"""One whole engine of which every process, Kafka and Redis among them, may be killed.

Servers, flows and the API are private children with the production commands, and the production
supervisor starts again what died. It works only while somebody calls `look`: wait with `until`.
"""

import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx
import psutil
from confluent_kafka import Message
from redis import Redis

from contracts.settings import Settings
from headrace.environment import read_settings
from headrace.servers.apache_kafka import ApacheKafka
from headrace.servers.broker import EmbeddedBroker
from headrace.servers.process import Process, free_port
from headrace.servers.redis import EmbeddedRedis
from headrace.supervisor import Supervisor
from streams.keys import Keys
from streams.positions import FlowPositions, StatePositions
from streams.topics import create_topics
from tests.faults.logs import read_ends, read_log

FLOWS: Final = ("user-state", "video-stats", "video-vectors")
Broker = ApacheKafka | EmbeddedBroker


class Serving:
    """A client of one serving process."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.http = httpx.Client(base_url=self.url, timeout=5.0, trust_env=False)

    def get(self, path: str, **params: Any) -> httpx.Response | None:
        """The answer, None when there is no server."""
        try:
            return self.http.get(path, params=params)
        except httpx.HTTPError:
            return None

    def ready(self) -> bool:
        answer = self.get("/readyz")
        return answer is not None and answer.status_code == 200

    def videos(self) -> int:
        """How many videos the API has, -1 unless it is ready."""
        answer = self.get("/readyz")
        ready = answer is not None and answer.status_code == 200
        return int(answer.text.split()[0]) if ready and answer is not None else -1

    def retrievable(self, video_id: str) -> bool:
        """Whether the API has the video."""
        answer = self.get("/v1/recommendations/similar", video_id=video_id, limit=1)
        return answer is not None and answer.status_code == 200

    def features(self, user_id: str, video_id: str) -> dict[str, float]:
        """What the ranker would see of a video for this person."""
        answer = self.get("/v1/recommendations/explain", user_id=user_id, video_id=video_id)
        assert answer is not None, "no server"
        assert answer.status_code == 200, answer.text
        found = answer.json()["videos"][0]["features"]
        return {name: value for name, value in found.items() if value is not None}

    def trending(self) -> set[str]:
        """The videos of the list of the world."""
        answer = self.get("/v1/recommendations/trending", limit=100)
        assert answer is not None, "no server"
        return {item["video_id"] for item in answer.json()["items"]}

    def felt(self, user_id: str, video_id: str) -> bool:
        """Whether the full funnel ranks for this person with a taste for the video's category."""
        answer = self.get("/v1/recommendations/explain", user_id=user_id, video_id=video_id)
        if answer is None or answer.status_code != 200 or answer.json()["degraded"]:
            return False
        return bool((answer.json()["videos"][0]["features"]["affinity_category"] or 0) > 0)


@dataclass
class World(Serving):
    """What runs. `environ` is that of every process; `said` is what the supervisor said, and when."""

    folder: Path
    kafka: Broker
    redis: EmbeddedRedis
    environ: dict[str, str]
    port: int = field(default_factory=free_port)
    said: list[tuple[float, str]] = field(default_factory=list)
    replicas: list[Serving] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.supervisor = Supervisor(
            lambda name, text: self.said.append((time.monotonic(), f"{name} {text}"))
        )
        self.processes: dict[str, Process] = {
            "kafka": self.kafka.process,
            "redis": self.redis.process,
        }
        super().__init__(self.port)

    @property
    def settings(self) -> Settings:
        return read_settings(self.environ)

    @property
    def keys(self) -> Keys:
        return Keys(self.settings.redis.namespace)

    def client(self) -> Redis:
        """A connection to Redis; the caller closes it."""
        return Redis.from_url(self.redis.url)

    def start(self) -> None:
        """Servers, topics, flows, API; returns when the API is ready."""
        now = time.monotonic()
        self.supervisor.start("kafka", self.kafka.process, now, self.kafka.start)
        self.supervisor.start("redis", self.redis.process, now, self.redis.start)
        create_topics(self.settings.kafka)
        for flow in FLOWS:
            self.command(flow, ["stream", flow])
        self.command("api", ["serve"], {"HEADRACE_API__PORT": str(self.port)})
        self.until(self.ready, 120, "the API to be ready")

    def command(
        self, name: str, arguments: list[str], environ: Mapping[str, str] | None = None
    ) -> Process:
        """`headrace ARGUMENTS`, supervised under this name."""
        process = Process(
            [sys.executable, "-m", "headrace", *arguments],
            self.folder / f"{name}.log",
            self.environ | dict(environ or {}),
        )
        self.supervisor.start(name, process, time.monotonic())
        self.processes[name] = process
        return process

    def replica(self, name: str) -> Serving:
        """One more serving process, that reads the topics from their beginning."""
        port = free_port()
        more = {"HEADRACE_API__PORT": str(port), "HEADRACE_INDEX__SNAPSHOT_DIR": ""}
        self.command(name, ["serve"], more)
        self.replicas.append(Serving(port))
        return self.replicas[-1]

    def kill(self, name: str) -> None:
        """As `kill -9`; "api-worker" is the process that answers, "api" its parent."""
        if name == "api-worker":
            for worker in self.workers():
                worker.kill()
        else:
            self.processes[name].kill()

    def workers(self) -> list[psutil.Process]:
        """The processes of the API that serve."""
        children = psutil.Process(self.processes["api"].pid).children(recursive=True)
        return [p for p in children if "spawn_main" in " ".join(p.cmdline())]

    def look(self) -> None:
        """Let the supervisor start again what died."""
        self.supervisor.look(time.monotonic())

    def until(self, condition: Callable[[], bool], timeout_s: float, what: str) -> float:
        """Seconds until it held, the supervisor at work; fails after `timeout_s`."""
        began = time.monotonic()
        while time.monotonic() - began < timeout_s:
            self.look()
            if condition():
                return time.monotonic() - began
            time.sleep(0.02)
        log = "\n".join(text for _, text in self.said[-10:])
        raise AssertionError(f"{what} did not hold within {timeout_s} s; the supervisor:\n{log}")

    def rest(self, seconds: float) -> None:
        """Wait, the supervisor at work."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.look()
            time.sleep(0.02)

    def log(self, topic: str) -> dict[int, list[Message]]:
        """All that a topic holds: partition -> messages in the order of their offsets."""
        return read_log(self.settings, topic)

    def caught_up(self) -> bool:
        """Whether every flow has durably folded all that its topics hold."""
        ends = {t: read_ends(self.settings, t) for t in ("events", "impressions", "videos")}
        client = self.client()
        try:
            users = FlowPositions(client, self.keys.positions("user-state"))
            vectors = FlowPositions(client, self.keys.positions("video-vectors"))
            stats = StatePositions(client, self.keys.stats)
            for store, topics in (
                (users, ("events", "impressions")),
                (stats, ("events", "impressions")),
                (vectors, ("videos",)),
            ):
                wanted = {f"{t}:{p}": end for t in topics for p, end in ends[t].items() if end}
                stored = store.load(list(wanted))
                if any((at := stored[s]) is None or at.offset < wanted[s] for s in wanted):
                    return False
        finally:
            client.close()
        return True

    def stop(self) -> None:
        """End everything, the servers last."""
        for client in (self, *self.replicas):
            client.http.close()
        self.supervisor.stop(lambda name: name not in ("kafka", "redis"))
        self.supervisor.stop()


@contextmanager
def world(folder: Path, kafka: Broker, **environ: str) -> Iterator[World]:
    """A started world on this broker; `environ` are settings of its processes."""
    store = EmbeddedRedis(folder / "redis")
    clean = {k: v for k, v in os.environ.items() if not k.startswith("HEADRACE_")}
    running = World(
        folder,
        kafka,
        store,
        clean
        | {
            "HEADRACE_KAFKA__BOOTSTRAP": kafka.bootstrap,
            "HEADRACE_KAFKA__FETCH_WAIT_MS": "10",
            "HEADRACE_REDIS__URL": store.url,
            "HEADRACE_API__TOKEN_SECRET": "0" * 64,
            "HEADRACE_INDEX__SNAPSHOT_DIR": str(folder / "index"),
            **environ,
        },
    )
    try:
        running.start()
        yield running
    finally:
        running.stop()
