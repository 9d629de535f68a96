"""How fresh a feed is under load, from the producer's clock, over HTTP.

A whole engine with events and new videos at a rate and feed traffic on. Probes, one after the other,
by this process:

- an event, with the position token: a first watch of somebody new is produced straight to Kafka, and
  the position that the broker acknowledged is given to the next feed. Timed from before `produce` to
  the whole page, and seen once a page has an item of the two-tower source, which nobody of whom
  nothing is known can get. A first page that has none (the flow was later than a feed waits, or the
  source than its deadline) is counted with the rung that it names, and asked for again until one has;
- an event, polled: the same without the token, by feeds one after the other until one has it;
- a video: published by a creator of a taste that a viewer has, straight to Kafka; timed until
  `explain` says that the two-tower source retrieves it for that viewer.

The baseline of an event is the way that cannot be shortened: a message through the same Kafka and
back, and one feed, in the same run.
"""

import argparse
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Final

import httpx
from confluent_kafka import Consumer, Producer, TopicPartition

from bench._catalog import BigCatalog, big_catalog, video_id
from bench._engine import Engine, engine, until
from bench._report import Figure, percentiles_ms, progress, report
from bench._whole import buckets, generators, load, quantile_ms, serve, start, stop, tree_cpu_s
from contracts.topics import Topic
from streams.kafka import client_config, producer_config
from streams.topics import create_topics

_ECHO: Final = Topic("bench-echo", "any", 1, {"cleanup.policy": "delete"})
_TASTES: Final = 10
_GIVE_UP_S: Final = 10.0
KINDS: Final = ("token", "polled", "video", "echo", "feed")


@dataclass
class Probe:
    """One client.

    Attributes:
        seconds: by kind of `KINDS`.
        missed: by kind, how many were not seen within 10 s.
        late: rung -> first pages for a token that did not have it.
    """

    running: Engine
    url: str
    seconds: dict[str, list[float]] = field(default_factory=lambda: {k: [] for k in KINDS})
    missed: Counter[str] = field(default_factory=Counter)
    late: Counter[str] = field(default_factory=Counter)
    rung: str = ""

    def __post_init__(self) -> None:
        kafka = self.running.kafka_settings
        self._http = httpx.Client(base_url=self.url, timeout=10.0, trust_env=False)
        self._producer = Producer(producer_config(kafka, linger_ms=0.5))
        self._echo = Consumer(
            client_config(kafka) | {"group.id": "headrace.bench", "fetch.wait.max.ms": 10}
        )
        self._echo.assign([TopicPartition(_ECHO.name, 0, 0)])
        self._number = count()

    def send(self, topic: str, key: str, value: dict[str, Any]) -> str:
        """The position of the message, once the broker has acknowledged it."""
        placed: list[str] = []

        def acked(error: Any, message: Any) -> None:
            placed.append("" if error else f"{topic}:{message.partition()}:{message.offset()}")

        self._producer.produce(topic, json.dumps(value), key, on_delivery=acked)
        while not placed:
            self._producer.poll(0.05)
        return placed[0]

    def watch(self, user: str, video: str, which: str = "") -> str:
        """The position of an event of now; `which` tells two of the same video apart."""
        now_ms = time.time_ns() // 1_000_000
        event = {
            "event_id": f"{user}-{video}{which}", "user_id": user, "video_id": video, "timestamp": now_ms,
            "event_type": "watch", "watch_ms": 29_000, "duration_ms": 30_000,
        }  # fmt: skip
        return self.send("events", user, event)

    def feed(self, user: str, after: str = "") -> bool:
        """One feed; whether it knows the viewer: their vector retrieved some of it.

        A long page, since what trends in this load stands before all else.
        """
        asked = {"user_id": user, "after": after, "language": "en", "country": "DE", "limit": "100"}
        answer = self._http.get("/v1/recommendations/feed", params=asked)
        page = answer.json()
        self.rung = page.get("degraded") or f"{answer.status_code}, nothing said"
        return any(i["source"] == "two_tower" for i in page.get("items", ()))

    def with_token(self) -> None:
        """An event, then the feed that asks for it."""
        user, began = f"p_{next(self._number)}", time.perf_counter()
        if not self.feed(user, self.watch(user, video_id(next(self._number)))):
            self.late[self.rung] += 1
            self._until("token", began, lambda: self.feed(user))
            return
        self._took("token", began)

    def polled(self) -> None:
        """An event, then feeds until one has it."""
        user, began = f"p_{next(self._number)}", time.perf_counter()
        self.watch(user, video_id(next(self._number)))
        self._until("polled", began, lambda: self.feed(user))

    def taste(self, n: int) -> None:
        """Viewer `q_n` has watched three videos of the n-th taste.

        And once more a second while that does not show: the user flow's own catalog may get a video some
        moments after the one that serves, and an event about an unknown video moves no vector.
        """
        for i in range(3):
            name = f"taste{n}-{i}"
            self._publish(name, n)
            until(lambda name=name: self._known(name), 30, "a video to be known")  # type: ignore[misc]
            self.watch(f"q_{n}", name)
        for again in range(30):
            asked_s = time.perf_counter()
            while time.perf_counter() - asked_s < 1:
                if self.feed(f"q_{n}"):
                    return
                time.sleep(0.02)
            self.watch(f"q_{n}", f"taste{n}-0", f" again {again}")
        raise TimeoutError(f"viewer q_{n} has watched three videos and more, and no feed knows")

    def video(self) -> None:
        """A video of a taste, until that viewer's vector retrieves it."""
        number, began = next(self._number), time.perf_counter()
        viewer, name = f"q_{number % _TASTES}", f"probe_{number}"
        self._publish(name, number % _TASTES)
        asked = {"user_id": viewer, "video_id": name, "language": "en", "country": "DE"}

        def found() -> bool:
            answer = self._http.get("/v1/recommendations/explain", params=asked)
            return (
                answer.status_code == 200 and "two_tower" in answer.json()["videos"][0]["sources"]
            )

        self._until("video", began, found)

    def echo(self) -> None:
        """A message through Kafka and back; then one feed of somebody known."""
        began = time.perf_counter()
        self.send(_ECHO.name, "echo", {"at": began})
        self._until("echo", began, lambda: self._echo.poll(0.05) is not None)
        began = time.perf_counter()
        self.feed("q_0")
        self._took("feed", began)

    def _publish(self, name: str, taste: int) -> None:
        now_ms = time.time_ns() // 1_000_000
        video = {
            "video_id": name, "title": f"probes of taste{taste}", "category": f"probes{taste}",
            "creator_id": f"prober{taste}", "language": "en", "duration_ms": 30_000,
            "published_at": now_ms,
        }  # fmt: skip
        self.send("videos", name, video)

    def _known(self, name: str) -> bool:
        asked = {"video_id": name, "limit": "1"}
        return self._http.get("/v1/recommendations/similar", params=asked).status_code == 200

    def _until(self, kind: str, began: float, seen: Callable[[], bool]) -> None:
        while not seen():
            if time.perf_counter() - began > _GIVE_UP_S:
                self.missed[kind] += 1
                return
            time.sleep(0.001)
        self._took(kind, began)

    def _took(self, kind: str, began: float) -> None:
        self.seconds[kind].append(time.perf_counter() - began)


def measure(running: Engine, big: BigCatalog, said: argparse.Namespace) -> list[Figure]:
    """The table's figures."""
    create_topics(running.kafka_settings, [_ECHO])
    start(running, big, said.viewers, said.past)
    url, process = serve(running, big, said.workers, "api")
    at = running.kafka.bootstrap
    common = {
        "videos": big.world.n,
        "seconds": said.seconds + said.warm + 60,
        "viewers": said.viewers,
    }
    loads = [
        load("events", at, rate=said.events, seed=3, **common),
        load("videos", at, rate=said.publish, seed=4, **common),
        load("feeds", url, rate=said.feeds, connections=32, **common),
    ]
    names = ("headrace_event_to_feed_seconds", "headrace_video_to_index_seconds")
    try:
        progress("all on: the broker's compiler takes a core for its first half minute")
        time.sleep(said.warm)
        probe = Probe(running, url)
        for n in range(_TASTES):
            probe.taste(n)
        probe.echo()
        probe.seconds = {kind: [] for kind in KINDS}
        probe.missed.clear()
        probe.late.clear()
        before = [buckets(url, name) for name in names]
        began, cpu_s, turn = time.perf_counter(), tree_cpu_s(process), 0
        while time.perf_counter() < began + said.seconds:
            turn += 1
            progress(f"probes, turn {turn}")
            for step in (probe.with_token, probe.echo, probe.video, probe.with_token, probe.polled):
                step()
                time.sleep(0.02)
        cores = (tree_cpu_s(process) - cpu_s) / (time.perf_counter() - began)
        after = [buckets(url, name) for name in names]
        said_by = [stop(child) for child in loads]
    finally:
        for child in loads:
            child.kill()
            child.wait()
    seen = [
        {bound: n - b.get(bound, 0.0) for bound, n in a.items()}
        for a, b in zip(after, before, strict=True)
    ]
    return [
        *_figures(probe),
        Figure("event to feed, all viewers, engine's histogram, p50", quantile_ms(seen[0], 0.5), "ms"),
        Figure("event to feed, all viewers, engine's histogram, p99", quantile_ms(seen[0], 0.99), "ms"),
        Figure("video to index, all videos, engine's histogram, p50", quantile_ms(seen[1], 0.5), "ms"),
        Figure("video to index, all videos, engine's histogram, p99", quantile_ms(seen[1], 0.99), "ms"),
        Figure("processor of the API", cores, "cores"),
        *generators(said_by, ("events", "videos", "feeds")),
    ]  # fmt: skip


def _figures(probe: Probe) -> list[Figure]:
    nothing = float("nan"), float("nan")  # not one was seen: the misses say so
    at = {k: percentiles_ms(took) if took else nothing for k, took in probe.seconds.items()}
    floor = at["echo"][0] + at["feed"][0]
    bare = "Kafka there and back + a feed, p50"
    return [
        Figure("event -> the feed that asks for it, p50", at["token"][0], "ms", floor, bare, 100, 40),
        Figure("event -> the feed that asks for it, p99", at["token"][1], "ms", None, "", 1000, 150),
        Figure("event -> a feed, polled, p50", at["polled"][0], "ms", floor, bare, 100, 40),
        Figure("event -> a feed, polled, p99", at["polled"][1], "ms", None, "", 1000, 150),
        Figure("video -> retrieved by a viewer's vector, p50", at["video"][0], "ms"),
        Figure("video -> retrieved by a viewer's vector, p99", at["video"][1], "ms", None, "", 1000, 200),
        Figure("Kafka there and back, p50", at["echo"][0], "ms"),
        Figure("a feed, p50", at["feed"][0], "ms"),
        Figure("probes", sum(map(len, probe.seconds.values())), ""),
        *(Figure(f"first page for a token without it: {rung}", n, "")
          for rung, n in sorted(probe.late.items())),
        Figure("probes not seen within 10 s", sum(probe.missed.values()), "", None, "", 0),
        *(Figure(f"of them {kind}", n, "") for kind, n in sorted(probe.missed.items())),
    ]  # fmt: skip


def main(arguments: Sequence[str] = ()) -> None:
    """Measure, print the table, write bench/out/freshness.json, end with a line of JSON."""
    parser = argparse.ArgumentParser(prog="bench.freshness", description=__doc__)
    parser.add_argument("--videos", type=int, default=100_000, help="made once, then cached")
    parser.add_argument("--viewers", type=int, default=5000)
    parser.add_argument("--past", type=int, default=20, help="events of each viewer before")
    parser.add_argument("--events", type=float, default=5000, help="a second")
    parser.add_argument("--publish", type=float, default=200, help="videos a second")
    parser.add_argument("--feeds", type=float, default=20, help="a second")
    parser.add_argument("--workers", type=int, default=1, help="processes of the API")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--warm", type=float, default=40, help="seconds of all loads before")
    said = parser.parse_args(arguments)
    big = big_catalog(said.videos)
    with engine() as running:
        figures = measure(running, big, said)
    title = (
        f"freshness, {said.videos:,} videos, {said.events:g} events/s, {said.publish:g} videos/s, "
        f"{said.feeds:g} feeds/s, {os.cpu_count()} cores"
    )
    report("freshness", title, figures, "event -> the feed that asks for it, p50")


if __name__ == "__main__":
    main(sys.argv[1:])
