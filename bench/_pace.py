"""Events at a steady rate, from a process of its own; each carries the moment in which it is produced.

`python -m bench._pace RATE SECONDS PEOPLE VIDEOS` with the engine's settings in the environment. It
prints one line of JSON: what it sent a second, and how late it was at worst. With `paced` in a benchmark.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from confluent_kafka import Producer

from bench._engine import Engine
from bench._events import Crowd, event
from contracts.topics import EVENTS
from headrace.environment import read_settings
from headrace.servers.tether import tethered
from streams.kafka import producer_config

_REST_S = 0.001
_LINGER_MS = 5  # the default of the Java clients since Kafka 4


class Pacer:
    """Sends a crowd's events by the clock."""

    def __init__(self, producer: Producer, topic: str, crowd: Crowd, seed: int) -> None:
        self._producer, self._topic = producer, topic
        self._seed, self._drawn = seed, crowd.draw(1 << 16, seed).T.tolist()
        self.sent = 0

    def run(self, rate: float, seconds: float) -> float:
        """Send for so long; how late the latest event was, in seconds."""
        began, latest = time.perf_counter(), 0.0
        while self.sent < int(rate * seconds):
            now = time.perf_counter() - began
            latest = max(latest, now - self.sent / rate)
            for _ in range(min(int(now * rate) + 1, int(rate * seconds)) - self.sent):
                self._one()
            self._producer.poll(0)
            time.sleep(_REST_S)
        return latest

    def _one(self) -> None:
        person, video, kind, watched = self._drawn[self.sent % len(self._drawn)]
        at_ms = time.time_ns() // 1_000_000
        value = event(self._seed << 64 | self.sent, person, video, kind, watched, at_ms)
        self._producer.produce(self._topic, value, b"u%07d" % person)
        self.sent += 1


@contextmanager
def paced(
    engine: Engine, rate: float, seconds: float, crowd: Crowd, **environ: str
) -> Iterator[dict[str, Any]]:
    """Events flow during the block, which ends with them; what was sent is filled in at its end."""
    words = [str(word) for word in (rate, seconds, crowd.people, crowd.videos)]
    child = subprocess.Popen(
        tethered([sys.executable, "-m", "bench._pace", *words]),
        env=engine.environ | environ,
        stdout=subprocess.PIPE,
        text=True,
    )
    said: dict[str, Any] = {}
    try:
        yield said
        output, _ = child.communicate(timeout=seconds + 60)
        said.update(json.loads(output.splitlines()[-1]))
    finally:
        child.kill()
        child.wait()


def main(rate: float, seconds: float, people: int, videos: int) -> None:
    """Send, wait for the acknowledgements, say what was sent."""
    kafka = read_settings(os.environ).kafka
    producer, seed = Producer(producer_config(kafka, _LINGER_MS)), time.time_ns() % (1 << 48)
    pacer = Pacer(producer, kafka.topic_prefix + EVENTS.name, Crowd(people, videos), seed)
    began = time.perf_counter()
    latest_s = pacer.run(rate, seconds)
    took_s = time.perf_counter() - began
    producer.flush(30.0)
    print(json.dumps({"per_s": pacer.sent / took_s, "latest_ms": latest_s * 1000}), flush=True)


if __name__ == "__main__":
    main(float(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
