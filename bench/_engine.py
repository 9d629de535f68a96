"""A whole engine for a benchmark: Apache Kafka, Redis, and the production commands as processes."""

import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import httpx
from redis import Redis

from contracts.settings import KafkaSettings, Settings
from headrace.environment import read_settings
from headrace.servers.apache_kafka import ApacheKafka, kafka_jars
from headrace.servers.process import Process, free_port
from headrace.servers.redis import EmbeddedRedis
from streams.keys import Keys
from streams.topics import create_topics

POM: Final = Path(__file__).parent.parent / "tests" / "kafka" / "pom.xml"


@dataclass
class Engine:
    """Servers that run, and what was started on them. `environ` is that of every process."""

    folder: Path
    kafka: ApacheKafka
    redis: EmbeddedRedis
    environ: dict[str, str]
    processes: dict[str, Process] = field(default_factory=dict)

    @property
    def settings(self) -> Settings:
        """As the processes read them."""
        return read_settings(self.environ)

    @property
    def kafka_settings(self) -> KafkaSettings:
        return self.settings.kafka

    @property
    def keys(self) -> Keys:
        return Keys(self.settings.redis.namespace)

    def client(self) -> Redis:
        """A connection to Redis; the caller closes it."""
        return Redis.from_url(self.redis.url)

    def start(self, name: str, *arguments: str, **environ: str) -> Process:
        """`headrace ARGUMENTS` as a process called `name`, with its log in the folder."""
        process = Process(
            [sys.executable, "-m", "headrace", *arguments],
            self.folder / f"{name}.log",
            self.environ | environ,
        )
        process.start()
        self.processes[name] = process
        return process

    def flow(self, flow: str, **environ: str) -> Process:
        """`headrace stream FLOW`."""
        return self.start(flow, "stream", flow, **environ)

    def serve(self, workers: int = 1, **environ: str) -> str:
        """`headrace serve`; its URL once it is ready."""
        port = str(free_port())
        more = {"HEADRACE_API__PORT": port, "HEADRACE_API__WORKERS": str(workers)}
        self.start("api", "serve", **more, **environ)
        url = f"http://127.0.0.1:{port}"
        until(lambda: _ready(url), 600, "the API to be ready", self.processes["api"], every_s=0.02)
        return url

    def stop(self, name: str) -> None:
        """End one process in order."""
        self.processes.pop(name).stop()

    def cpu_s(self, pid: int) -> float:
        """Processor seconds that a process and its reaped children have used."""
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _ready(url: str) -> bool:
    try:
        # Without the certificates, which would be read anew each time: beside what is being measured.
        return httpx.get(f"{url}/readyz", timeout=1.0, trust_env=False, verify=False).is_success
    except httpx.HTTPError:
        return False


def until(
    condition: Callable[[], bool],
    timeout_s: float,
    what: str,
    process: Process | None = None,
    every_s: float = 0.005,
) -> float:
    """Seconds until the condition held.

    Raises:
        TimeoutError: it did not, or the process ended; with the end of its log.
    """
    began = time.monotonic()
    while not condition():
        ended = process is not None and not process.running
        if ended or time.monotonic() - began > timeout_s:
            tail = "" if process is None else f"; the end of its log:\n{process.tail()}"
            raise TimeoutError(f"waited {time.monotonic() - began:.0f} s for {what}{tail}")
        time.sleep(every_s)
    return time.monotonic() - began


@contextmanager
def engine(durable: bool = True, **environ: str) -> Iterator[Engine]:
    """Apache Kafka and Redis on free ports, topics made; everything ends with the block.

    Args:
        durable: Redis appends every write to a file, as the sandbox does.
        environ: settings of every process, e.g. HEADRACE_STREAM__BATCH_EVENTS="2000".
    """
    with tempfile.TemporaryDirectory(prefix="headrace-bench-") as name:
        folder = Path(name)
        with (
            ApacheKafka(kafka_jars(POM), folder / "kafka") as kafka,
            EmbeddedRedis(folder / "redis", durable=durable) as server,
        ):
            running = Engine(
                folder,
                kafka,
                server,
                {
                    **{k: v for k, v in os.environ.items() if not k.startswith("HEADRACE_")},
                    "HEADRACE_KAFKA__BOOTSTRAP": kafka.bootstrap,
                    "HEADRACE_REDIS__URL": server.url,
                    "HEADRACE_API__TOKEN_SECRET": "0" * 64,
                    **environ,
                },
            )
            create_topics(running.kafka_settings)
            try:
                yield running
            finally:
                for process in running.processes.values():
                    process.stop()
