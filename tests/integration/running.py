"""Real processes of the engine for integration tests: the same commands that production runs."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import redis

from contracts.errors import UnavailableError
from contracts.events import Event, encode_event
from contracts.settings import KafkaSettings, ModelSettings, Settings
from contracts.topics import Topic
from contracts.user_record import user_dtype
from contracts.videos import Video, encode_video
from headrace.flows import FLOWS
from model_runtime import bundles
from operators.blobs import from_blobs
from operators.features.protocol import Records
from streams.kafka import Publisher
from streams.keys import Keys
from streams.positions import FlowPositions, Stored
from streams.topics import admin, create_topics


@dataclass
class Deployment:
    """One isolated engine: topics of its own prefix, Redis keys of its own namespace."""

    settings: Settings
    log_dir: Path
    model: ModelSettings = field(default_factory=ModelSettings)
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def environ(self) -> dict[str, str]:
        s = self.settings
        return (
            os.environ
            | {
                "HEADRACE_KAFKA__BOOTSTRAP": s.kafka.bootstrap,
                "HEADRACE_KAFKA__TOPIC_PREFIX": s.kafka.topic_prefix,
                "HEADRACE_KAFKA__FETCH_WAIT_MS": "10",
                "HEADRACE_REDIS__URL": s.redis.url.get_secret_value(),
                "HEADRACE_REDIS__NAMESPACE": s.redis.namespace,
                "HEADRACE_STREAM__PARTITIONS_EVERY_S": str(s.stream.partitions_every_s),
                "HEADRACE_MODEL__BUNDLE": self.model.bundle,
            }
            | ({"HEADRACE_MODEL__REGISTRY": self.model.registry} if self.model.registry else {})
        )

    @property
    def redis(self) -> "redis.Redis":
        return redis.Redis.from_url(self.settings.redis.url.get_secret_value())

    @property
    def keys(self) -> Keys:
        return Keys(self.settings.redis.namespace)

    def start(self, flow: str, **more: str) -> subprocess.Popen[bytes]:
        """`headrace stream FLOW` as a process of its own."""
        assert flow in FLOWS
        log = (self.log_dir / f"{flow}-{len(self.processes)}.log").open("wb")
        process = subprocess.Popen(
            [sys.executable, "-m", "headrace", "stream", flow],
            env=self.environ | more, stdout=log, stderr=log,
        )  # fmt: skip
        log.close()
        self.processes.append(process)
        return process

    def start_to_work(
        self, flow: str, stored: Callable[[], object], **more: str
    ) -> subprocess.Popen[bytes]:
        """The same; it has changed what is `stored` on return. A process takes seconds to get there."""
        before = stored()
        process = self.start(flow, **more)
        eventually(lambda: stored() != before, 60, f"{flow} to store something")
        return process

    def positions(self, flow: str, sources: Sequence[str]) -> dict[str, Stored | None]:
        client = self.redis
        try:
            return FlowPositions(client, self.keys.positions(flow)).load(sources)
        finally:
            client.close()

    def folded_up_to(self, ends: dict[str, int], flow: str = "user-state") -> bool:
        """Whether the flow's stored positions have reached the ends of these sources."""
        stored = self.positions(flow, list(ends))
        return all((at := stored[s]) is not None and at.offset >= end for s, end in ends.items())

    def users(self, user_ids: Sequence[str]) -> Records:
        bundle = bundles.load(self.model)
        dtype = user_dtype(bundle.users.hidden, bundle.users.dim)
        client = self.redis
        try:
            blobs: Any = client.mget([self.keys.user(u) for u in user_ids])
            return from_blobs(blobs, dtype)
        finally:
            client.close()

    def produce(self, messages: Sequence[tuple[str, bytes | None, bytes | None]]) -> dict[str, int]:
        """Publish (topic, key, value)s; source -> end offset after the last of them."""
        ends: dict[str, int] = {}
        publisher = Publisher(self.settings.kafka)

        def acked(topic: str) -> Callable[[Any, Any], None]:
            def note(error: Any, message: Any) -> None:
                assert error is None, error
                source = f"{topic}:{message.partition()}"
                ends[source] = max(ends.get(source, 0), message.offset() + 1)

            return note

        for topic, key, value in messages:
            publisher.produce(topic, key, value, acked(topic))
        publisher.flush(30)
        publisher.close()
        return ends

    def send_events(self, events: Sequence[Event]) -> dict[str, int]:
        return self.produce([("events", e.user_id.encode(), encode_event(e)) for e in events])

    def send_videos(self, videos: Sequence[Video]) -> dict[str, int]:
        return self.produce([("videos", v.video_id.encode(), encode_video(v)) for v in videos])

    def stop(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.terminate()
        for process in self.processes:
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(5)


@contextmanager
def deployment(
    settings: Settings, log_dir: Path, model: ModelSettings | None = None
) -> Iterator[Deployment]:
    engine = Deployment(settings, log_dir, model=model or ModelSettings())
    try:
        yield engine
    finally:
        engine.stop()


def made_anew(kafka: KafkaSettings, topic: Topic) -> None:
    """Delete a topic and create it again, empty."""
    name, client = kafka.topic_prefix + topic.name, admin(kafka)  # held: its handle ends with it
    client.delete_topics([name])[name].result(20)

    def created() -> bool:
        try:
            return create_topics(kafka, [topic])[topic.name]
        except UnavailableError:  # its deletion is still under way
            return False

    eventually(created, what="the topic to be made again")


def eventually(
    condition: Callable[[], bool], timeout_s: float = 30.0, what: str = "condition"
) -> float:
    """Seconds until the condition held; fails after `timeout_s`."""
    start = time.monotonic()
    while time.monotonic() - start < timeout_s:
        if condition():
            return time.monotonic() - start
        time.sleep(0.02)
    raise AssertionError(f"{what} did not hold within {timeout_s} s")
