"""A whole engine on servers of its own, to break: Kafka, Redis, the flows and the API as processes."""

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
from pydantic import SecretStr

from contracts.events import Event, decode_event
from contracts.settings import KafkaSettings, RedisSettings, Settings, StreamSettings
from headrace.servers.apache_kafka import ApacheKafka
from headrace.servers.broker import EmbeddedBroker
from headrace.servers.process import Process, free_port
from headrace.servers.redis import EmbeddedRedis
from streams.topics import create_topics
from tests.faults.logs import read_ends, read_log
from tests.integration.running import Deployment, eventually
from tests.integration.user_logs import NOT_COMPARED, VIDEOS, clean_fold

Kafka = ApacheKafka | EmbeddedBroker
FLOWS = ("video-vectors", "user-state", "video-stats")


class Stack(Deployment):
    """A deployment whose servers a test may stop, kill, freeze and fill."""

    def __init__(self, kafka: Kafka, server: EmbeddedRedis, folder: Path, **environ: str) -> None:
        settings = Settings(
            kafka=KafkaSettings(bootstrap=kafka.bootstrap),
            redis=RedisSettings(url=SecretStr(server.url)),
            stream=StreamSettings(partitions_every_s=1.0),
        )
        super().__init__(settings, folder)
        self.kafka, self.server, self.more = kafka, server, environ
        self.servers: list[Process] = []
        self.ports: dict[str, int] = {}
        self.url = ""

    def run(self, flow: str, **more: str) -> None:
        """Start a flow that serves its metrics."""
        self.ports[flow] = free_port()
        self.start(flow, HEADRACE_METRICS__PORT=str(self.ports[flow]), **self.more, **more)

    def serve(self, **more: str) -> Process:
        """Start the API and wait until it is ready."""
        api = self.serve_unready(**more)
        eventually(lambda: self.ready()[0] == 200, 150, "the API to be ready")
        return api

    def serve_unready(self, **more: str) -> Process:
        """Start the API."""
        self.ports["api"] = free_port()
        self.url = f"http://127.0.0.1:{self.ports['api']}"
        environ = {
            "HEADRACE_API__PORT": str(self.ports["api"]),
            "HEADRACE_API__TOKEN_SECRET": "0" * 64,
            "HEADRACE_REDIS__TIMEOUT_S": "0.05",
        }
        api = Process(
            [sys.executable, "-m", "headrace", "serve"], self.log_dir / "api.log",
            self.environ | self.more | environ | more,
        )  # fmt: skip
        api.start()
        self.servers.append(api)
        return api

    def ready(self) -> tuple[int, str]:
        """Status and sentence of /readyz; (0, why) if nobody answers."""
        try:
            answer = httpx.get(f"{self.url}/readyz", timeout=2.0, trust_env=False)
        except httpx.HTTPError as e:
            return 0, repr(e)
        return answer.status_code, answer.text

    def metric(self, part: str, name: str, **labels: str) -> float | None:
        """A sample that a flow or the API ("api") exports now, summed; None if it has none."""
        url = f"http://127.0.0.1:{self.ports[part]}/metrics"
        lines = httpx.get(url, timeout=10, trust_env=False).text.splitlines()
        wanted = [f'{k}="{v}"' for k, v in labels.items()]
        found = [
            float(line.rsplit(" ", 1)[1])
            for line in lines
            if line.split("{")[0].split(" ")[0] == name and all(w in line for w in wanted)
        ]
        return sum(found) if found else None

    def log_of(self, part: str) -> str:
        """What a flow or the API has written so far."""
        files = self.log_dir.glob(f"{part}*.log")
        return "".join(path.read_text(errors="replace") for path in sorted(files))

    def events_of_the_log(self) -> list[Event]:
        """Every event on the topic, each partition in its order."""
        log = read_log(self.settings, "events")
        return [decode_event(m.value() or b"") for p in sorted(log) for m in log[p]]

    def settled(self, timeout_s: float = 60.0) -> None:
        """Wait until the user flow has folded all events that there are."""
        ends = {f"events:{p}": end for p, end in read_ends(self.settings, "events").items() if end}
        eventually(lambda: self.folded_up_to(ends), timeout_s, "the log to be folded")

    def lost_and_doubled(self, accepted: set[str], users: set[str]) -> tuple[int, int]:
        """What became of accepted events; then every state equals one clean fold of the log.

        An event that was sent again counts once, in the state as in the fold.
        """
        self.settled()
        log = [e for e in self.events_of_the_log() if e.user_id in users]
        ids = {e.event_id for e in log}
        names = sorted({e.user_id for e in log})
        stored, clean = self.users(names), clean_fold(log, names)
        for name in stored.dtype.names or ():
            if name not in NOT_COMPARED:
                np.testing.assert_array_equal(stored[name], clean[name], err_msg=name)
        counted = int(stored["events"].sum())
        return len(accepted - ids) + max(len(ids) - counted, 0), max(counted - len(ids), 0)

    def stop_api(self) -> None:
        for api in self.servers:
            api.stop()
        self.servers.clear()

    def stop(self) -> None:
        self.stop_api()
        super().stop()

    def with_videos(self) -> None:
        """Publish the videos and wait until their vectors are there."""
        ends = self.send_videos(VIDEOS)
        eventually(lambda: self.folded_up_to(ends, "video-vectors"), 60, "vectors")


@contextmanager
def stack(
    kafka: Kafka, server: EmbeddedRedis, folder: Path, flows: Sequence[str] = FLOWS, **environ: str
) -> Iterator[Stack]:
    """A running engine with its videos and an API that is ready; ends with the block."""
    folder.mkdir(parents=True, exist_ok=True)
    running = Stack(kafka, server, folder, **environ)
    create_topics(running.settings.kafka)
    try:
        for flow in flows:
            running.run(flow)
        running.with_videos()
        running.serve()
        yield running
    finally:
        running.stop()


def seconds(since: float) -> float:
    return round(time.monotonic() - since, 2)
