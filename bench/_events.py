"""Events and videos for benchmarks of the flows, as the JSON that producers send, and how to send many."""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, cast

import numpy as np
from confluent_kafka import Producer
from numpy.typing import NDArray
from redis import Redis

from bench._engine import Engine, until
from contracts.settings import KafkaSettings
from contracts.topics import EVENTS, VIDEOS
from contracts.units import DAY_MS
from contracts.videos import Video, encode_video
from headrace.environment import read_settings
from streams.kafka import producer_config
from streams.positions import Stored

TYPES: Final = ("click", "watch", "like", "skip")
SHARES: Final = (0.35, 0.45, 0.05, 0.15)
CATEGORIES: Final = 16
COUNTRIES: Final = ("DE", "US", "BR", "IN")
_LATE_MS: Final = 5000  # an event is that late at most

Keyed = tuple[bytes, bytes]  # key, value


@dataclass(frozen=True, slots=True)
class Crowd:
    """People who watch videos: person i has a weight of 1 / (i + 20), all videos the same."""

    people: int = 50_000
    videos: int = 10_000

    def draw(self, n: int, seed: int) -> NDArray[np.int64]:
        """(4, n): person, video, type and watched milliseconds of events."""
        rng = np.random.default_rng(seed)
        weight = 1 / (np.arange(self.people) + 20.0)
        person = np.searchsorted(np.cumsum(weight / weight.sum()), rng.random(n))
        return np.stack(
            [
                person.clip(0, self.people - 1),
                rng.integers(0, self.videos, n),
                rng.choice(len(TYPES), n, p=SHARES),
                rng.integers(0, 30_000, n),
            ]
        )

    def events(self, n: int, seed: int = 1) -> Iterator[Keyed]:
        """`n` events over a day of event time that ends now; ~250 bytes each."""
        late = np.random.default_rng(seed + 1).integers(0, _LATE_MS, n)
        begin = int(time.time() * 1000) - DAY_MS
        stamps = (begin + np.arange(n) * DAY_MS // n - late).tolist()
        for i, (person, video, kind, watched) in enumerate(self.draw(n, seed).T.tolist()):
            yield b"u%07d" % person, event(seed << 64 | i, person, video, kind, watched, stamps[i])

    def most(self, n: int, seed: int = 1) -> int:
        """How many of those `n` events the busiest person has."""
        return int(np.bincount(self.draw(n, seed)[0]).max())

    def catalogue(self) -> Iterator[Keyed]:
        """All videos, each of the category that its events name."""
        now_ms = int(time.time() * 1000)
        for i in range(self.videos):
            video = Video(
                f"v{i}",
                now_ms - 1000 * i,
                f"clip {i} of creator {i % 500}",
                tags=("short", f"tag {i % 200}"),
                category=f"category {i % CATEGORIES}",
                language="de",
                creator_id=f"c{i % 500}",
                duration_ms=30_000,
            )
            yield video.video_id.encode(), encode_video(video)


def event(number: int, person: int, video: int, kind: int, watched_ms: int, at_ms: int) -> bytes:
    """One event as JSON. `category` is for the peers, who have no catalog; the engine ignores it."""
    watch = b'"watch_ms":%d,"duration_ms":30000,' % watched_ms if TYPES[kind] == "watch" else b""
    return (
        b'{"event_id":"%032x","user_id":"u%07d","video_id":"v%d","event_type":"%s",'
        b'"timestamp":%d,%s"category":%d,"context":{"connection":"4g","country":"%s"}}'
        % (
            number,
            person,
            video,
            TYPES[kind].encode(),
            at_ms,
            watch,
            video % CATEGORIES,
            COUNTRIES[person % len(COUNTRIES)].encode(),
        )
    )


def send(kafka: KafkaSettings, topic: str, messages: Iterable[Keyed]) -> int:
    """Produce all of them as fast as it goes; how many.

    Raises:
        TimeoutError: Kafka has not taken them within a minute after the last.
    """
    producer, name, n = Producer(producer_config(kafka, 20.0)), kafka.topic_prefix + topic, 0
    for key, value in messages:
        while True:
            try:
                producer.produce(name, value, key)
                break
            except BufferError:
                producer.poll(0.01)
        n += 1
    if left := producer.flush(60.0):
        raise TimeoutError(f"Kafka has not taken {left} of {n} messages")
    return n


def fill(kafka: KafkaSettings, crowd: Crowd, n: int, seed: int = 1) -> int:
    """Put `n` events of the crowd on topic `events`."""
    return send(kafka, EVENTS.name, crowd.events(n, seed))


def publish(engine: Engine, crowd: Crowd, **environ: str) -> None:
    """Send the crowd's videos through the vector flow, so that every catalog knows them."""
    kafka = read_settings(engine.environ | environ).kafka
    n = send(kafka, VIDEOS.name, crowd.catalogue())
    flow = engine.flow("video-vectors", **environ)
    with engine.client() as client:
        key = engine.keys.positions("video-vectors")
        until(lambda: moved(client, key, VIDEOS.name) >= n, 300, "the vectors", flow)
        engine.stop("video-vectors")
        client.flushdb()


def moved(client: Redis, key: str, topic: str) -> int:
    """Messages of a topic that lie before the positions that a flow has stored under `key`."""
    mark, stored = f"{topic}:".encode(), cast(dict[bytes, bytes], client.hgetall(key))
    return sum(Stored.parse(raw).offset for s, raw in stored.items() if s.startswith(mark))
