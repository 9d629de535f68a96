"""`headrace serve` as a process of its own over real Kafka and Redis, for clients that mean no good."""

import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil

from contracts.settings import Settings
from contracts.videos import Video
from streams.topics import create_topics
from tests.integration.running import Deployment, deployment, eventually


@dataclass
class Server:
    """A running API, its flows, and an honest client."""

    engine: Deployment
    process: subprocess.Popen[bytes]
    port: int
    log: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def feed(self, timeout_s: float = 30.0) -> dict[str, Any]:
        """A page as a client gets it who was never here before, on a connection of its own."""
        params = {"user_id": uuid.uuid4().hex}
        answer = httpx.get(f"{self.url}/v1/recommendations/feed", params=params, timeout=timeout_s)
        assert answer.status_code == 200, answer.text
        page: dict[str, Any] = answer.json()
        assert page["items"]
        return page

    def connect(self, timeout_s: float = 30.0) -> socket.socket:
        """A bare connection."""
        return socket.create_connection(("127.0.0.1", self.port), timeout_s)

    def rss(self) -> int:
        """Bytes that the worker holds, the largest process of them."""
        parent = psutil.Process(self.process.pid)
        return max(int(p.memory_info().rss) for p in parent.children(recursive=True))

    def errors(self) -> str:
        """What the server said about mistakes of its own."""
        return "\n".join(s for s in self.log.read_text().splitlines() if "Traceback" in s)


@contextmanager
def serving(
    settings: Settings, folder: Path, more: Mapping[str, str], videos: int = 60
) -> Iterator[Server]:
    """Topics, videos, all flows and one API process with `more` of an environment, ready."""
    create_topics(settings.kafka)
    with deployment(settings, folder) as engine:
        now = int(time.time() * 1000)
        ends = engine.send_videos(
            [
                Video(f"v{i}", now - i * 60_000, f"clip {i}", category=f"c{i % 5}")
                for i in range(videos)
            ]
        )
        for flow in ("video-vectors", "user-state", "video-stats"):
            engine.start(flow)
        eventually(lambda: engine.folded_up_to(ends, "video-vectors"), 60, "vectors")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        log = folder / "serve.log"
        environ = engine.environ | {"HEADRACE_API__TOKEN_SECRET": "of a test"} | dict(more)
        with log.open("wb") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", "headrace", "serve", "--port", str(port)],
                env=environ, stdout=out, stderr=out,
            )  # fmt: skip
        engine.processes.append(process)
        server = Server(engine, process, port, log)
        eventually(lambda: _ready(server), 60, "the API")
        yield server


def _ready(server: Server) -> bool:
    try:
        return httpx.get(f"{server.url}/readyz", timeout=5).status_code == 200
    except httpx.TransportError:
        return False
