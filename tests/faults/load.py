"""What runs against the engine while it is hurt: writers that never give up, a client that counts."""

import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, Self

import httpx
import numpy as np
from confluent_kafka import KafkaException, Producer

from contracts.events import Event, EventType, encode_event
from contracts.settings import Settings
from contracts.videos import Video, encode_video
from streams.kafka import producer_config
from tests.faults.world import World

CATEGORIES: Final = ("cooking", "chess", "cats", "cars", "comedy")
KINDS: Final[tuple[EventType, ...]] = (
    "click", "watch_complete", "like", "skip", "watch_50_percent", "share", "follow",
)  # fmt: skip
TWICE: Final = 0.05  # of the events are sent once more though nothing went wrong


def clip(name: str, number: int, title: str = "clip") -> Video:
    """A video of one of the categories."""
    category = CATEGORIES[number % len(CATEGORIES)]
    return Video(
        name, time.time_ns() // 1_000_000, f"{category} {title} {number}", category=category,
        duration_ms=20_000, creator_id=f"c{number % 17}", tags=("fun",), language="en",
    )  # fmt: skip


def event(user: str, number: int, video: str | None, kind: EventType) -> Event:
    """What a viewer does now."""
    return Event(f"{user}-{number}", user, kind, time.time_ns() // 1_000_000, video)


class Writer:
    """Produces and sends again what was not acknowledged, for as long as it takes."""

    def __init__(self, settings: Settings) -> None:
        self._prefix = settings.kafka.topic_prefix
        self._producer = Producer(producer_config(settings.kafka) | {"delivery.timeout.ms": 3000})
        self.again = 0

    def send(
        self, topic: str, messages: list[tuple[str, bytes | None]], stop: threading.Event
    ) -> bool:
        """Whether all of them were acknowledged before `stop`; each in the order given, per key."""
        left = messages
        while left and not stop.is_set():
            failed: list[tuple[str, bytes | None]] = []
            for message in left:
                self._produce(topic, message, failed)
            self._producer.flush(10)
            self.again += len(failed)
            left = failed
        return not left

    def _produce(
        self, topic: str, message: tuple[str, bytes | None], failed: list[tuple[str, bytes | None]]
    ) -> None:
        def acked(error: Any, _: Any) -> None:
            if error is not None:
                failed.append(message)

        key, value = message
        try:
            self._producer.produce(self._prefix + topic, value, key, on_delivery=acked)
        except (BufferError, KafkaException):
            failed.append(message)


@dataclass
class Load:
    """Threads against one world; every random choice comes from `seed`.

    Attributes:
        events_per_s: half of them straight to Kafka, half posted over HTTP.
        people: of them each has a feed now and then.
        sent: ids of the events that were acknowledged.
        alive, gone: videos that come and go, by what was acknowledged last.
        answers: of the polling client: rung, status or error -> how often.
        outage_s: longest time without a 200, of the polling client.
        ghosts: removed videos that a feed showed after the API had said that they are gone.
    """

    world: World
    seed: int
    events_per_s: int = 200
    feeds_per_s: int = 10
    people: int = 120
    stable: int = 100
    sent: set[str] = field(default_factory=set)
    alive: dict[str, Video] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)
    answers: Counter[str] = field(default_factory=Counter)
    outage_s: float = 0.0
    ghosts: list[str] = field(default_factory=list)
    posted_again: int = 0
    kafka_again: int = 0
    failures: list[BaseException] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(step, 10 * self.seed + k), daemon=True)
            for k, step in enumerate((self._events, self._posts, self._videos, self._feeds))
        ]

    def settle(self) -> None:
        """Publish the videos that stay as they are, and wait until they are retrievable."""
        settled = [clip(f"s{i}", i) for i in range(self.stable)]
        self.alive.update({video.video_id: video for video in settled})
        writer, never = Writer(self.world.settings), threading.Event()
        messages = [(v.video_id, encode_video(v)) for v in settled]
        assert writer.send("videos", list(messages), never)
        for video in settled:
            self.world.until(lambda v=video: self.world.retrievable(v.video_id), 60, "videos")  # type: ignore[misc]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End the load; what is under way is finished first, the supervisor at work."""
        self.stop.set()
        for thread in self._threads:
            self.world.until(lambda t=thread: not t.is_alive(), 60, "the load to end")  # type: ignore[misc]

    def _run(self, step: Callable[[np.random.Generator], None], seed: int) -> None:
        try:
            step(np.random.default_rng(seed))
        except BaseException as e:
            self.failures.append(e)
            raise

    def _some(self, rng: np.random.Generator, who: str, n: int, first: int) -> list[Event]:
        out = []
        for i in range(first, first + n):
            # One video in twenty was never published: it still counts by its action.
            video = f"s{rng.integers(int(self.stable * 1.05))}"
            kind = KINDS[rng.integers(len(KINDS))]
            out.append(event(f"{who}{rng.integers(self.people)}", i, video, kind))
        return out

    def _events(self, rng: np.random.Generator) -> None:
        writer, number = Writer(self.world.settings), 0
        never = threading.Event()
        for _ in self._ticks(0.1):
            some = self._some(rng, "k", max(self.events_per_s // 20, 1), number)
            number += len(some)
            twice = [e for e in some if rng.random() < TWICE]
            messages = [(e.user_id, encode_event(e)) for e in [*some, *twice]]
            writer.send("events", list(messages), never)
            self.sent.update(e.event_id for e in some)
        self.kafka_again = writer.again

    def _posts(self, rng: np.random.Generator) -> None:
        number = 0
        with httpx.Client(base_url=self.world.url, timeout=5.0, trust_env=False) as http:
            for _ in self._ticks(0.1):
                some = self._some(rng, "h", max(self.events_per_s // 20, 1), number)
                number += len(some)
                body = b"[" + b",".join(map(encode_event, some)) + b"]"
                while not self._posted(http, body):
                    self.posted_again += 1
                    time.sleep(0.2)
                self.sent.update(e.event_id for e in some)

    @staticmethod
    def _posted(http: httpx.Client, body: bytes) -> bool:
        try:
            return http.post("/v1/events", content=body).status_code == 202
        except httpx.HTTPError:
            return False

    def _videos(self, rng: np.random.Generator) -> None:
        writer, number = Writer(self.world.settings), 0
        never = threading.Event()
        for _ in self._ticks(0.25):
            number += 1
            fresh = clip(f"m{number}", number)
            writer.send("videos", [(fresh.video_id, encode_video(fresh))], never)
            self.alive[fresh.video_id] = fresh
            moving = [v for v in self.alive if v.startswith("m")]
            if number % 2:
                changed = clip(
                    moving[rng.integers(len(moving))], int(rng.integers(1000)), "changed"
                )
                writer.send("videos", [(changed.video_id, encode_video(changed))], never)
                self.alive[changed.video_id] = changed
            elif len(moving) > 20:
                victim = moving[rng.integers(len(moving))]
                writer.send("videos", [(victim, None)], never)
                del self.alive[victim]
                self.gone.add(victim)
        self.kafka_again += writer.again

    def _feeds(self, rng: np.random.Generator) -> None:
        last_good = time.monotonic()
        known: set[str] = set()
        with httpx.Client(base_url=self.world.url, timeout=2.0, trust_env=False) as http:
            for tick in self._ticks(1 / self.feeds_per_s):
                who = f"{'kh'[tick % 2]}{rng.integers(self.people)}"
                try:
                    if tick % 10 == 0:
                        known |= self._told_gone(http, rng, known)
                    answer = http.get(
                        "/v1/recommendations/feed", params={"user_id": who, "limit": 20}
                    )
                except httpx.HTTPError as e:
                    self.answers[type(e).__name__] += 1
                    continue
                if answer.status_code != 200:
                    self.answers[f"status {answer.status_code}"] += 1
                    continue
                page = answer.json()
                self.answers[page["degraded"] or "full"] += 1
                now = time.monotonic()
                self.outage_s, last_good = max(self.outage_s, now - last_good), now
                self.ghosts += [i["video_id"] for i in page["items"] if i["video_id"] in known]

    def _told_gone(self, http: httpx.Client, rng: np.random.Generator, known: set[str]) -> set[str]:
        """A removed video of which the API itself says now that it is not there."""
        news = [v for v in self.gone.copy() if v not in known]
        if not news:
            return set()
        video = news[rng.integers(len(news))]
        path = "/v1/recommendations/similar"
        return {video} if http.get(path, params={"video_id": video}).status_code == 404 else set()

    def _ticks(self, every_s: float) -> Any:
        """Numbers from 0, one each `every_s`, until the end; what was missed is left out."""
        number = 0
        while not self.stop.wait(every_s):
            yield number
            number += 1
