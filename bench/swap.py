"""Another bundle goes live under traffic: what a viewer feels of it, how long it takes, what it costs.

A whole engine (Apache Kafka, Redis, three flows, the API), all videos published through the vector
flow, viewers with a past, events and new videos at a rate, and feeds at a moderate rate (open loop,
Poisson) all the time. Each turn measures feeds with nothing going on, then a whole promotion: vectors
made for every video, index and catalog built beside, the switch, the user flow going over, states warmed;
then a rollback. Then the bundle is let go, so that the next turn begins anew. The baseline of every figure
is the part before, in the same turns.

The bundles are day0 and day0 with other numbers: their towers cost next to nothing, so this is what the
swap costs by itself. Freshness is the server's histogram, memory the resident size of the API's largest
worker, looked at ten times a second.
"""

import argparse
import os
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import psutil

from bench._catalog import World, ends
from bench._engine import Engine, engine, until
from bench._report import Figure, percentiles_ms, progress, report
from bench._whole import Json, buckets, generators, load, quantile_ms, stop, tree_cpu_s
from contracts.topics import VIDEOS
from contracts.videos import encode_video
from headrace.models import release
from headrace.promotion import promote, rollback
from model_runtime import bundles
from model_runtime.day0 import Day0
from model_runtime.item_tower import TextWeights
from model_runtime.store import Store
from streams.kafka import Publisher
from streams.keys import Keys
from streams.positions import Stored
from streams.presence import Presence
from streams.vector_marks import VectorMarks

_OTHER: Final = "tuned"
_CHUNK: Final = 10_000
_GAUGES: Final = ("headrace_event_to_feed_seconds", "headrace_video_to_index_seconds")
PARTS: Final = ("before", "promotion", "rollback")


@dataclass
class Part:
    """What was measured of one part, over all turns."""

    feeds_s: list[float] = field(default_factory=list)
    flaws: int = 0
    freshness: dict[str, dict[float, float]] = field(
        default_factory=lambda: {g: {} for g in _GAUGES}
    )
    peak_mb: float = 0.0
    cpu_s: float = 0.0
    took_s: float = 0.0


@dataclass
class Swap:
    """The engine under load, and what came of it."""

    running: Engine
    said: argparse.Namespace
    url: str
    parts: dict[str, Part] = field(default_factory=lambda: {p: Part() for p in PARTS})
    ready_s: list[float] = field(default_factory=list)
    live_s: list[float] = field(default_factory=list)
    everywhere_s: list[float] = field(default_factory=list)
    back_s: list[float] = field(default_factory=list)

    @contextmanager
    def part(self, name: str, seed: int) -> Iterator[None]:
        """While inside, feeds are asked for, and everything counts for this part."""
        part, api = self.parts[name], psutil.Process(self.running.processes["api"].pid)
        was = {g: buckets(self.url, g) for g in _GAUGES}
        ended, began, cpu_s = threading.Event(), time.perf_counter(), tree_cpu_s(api)
        weighing = threading.Thread(target=_weigh, args=(api, part, ended))
        weighing.start()
        child = load(
            "feeds", self.url, rate=self.said.rate, seconds=3600, connections=64,
            viewers=self.said.viewers, limit=20, seed=seed,
        )  # fmt: skip
        try:
            yield
        finally:
            got = stop(child)
            ended.set()
            weighing.join()
        part.feeds_s += got["seconds"]
        part.flaws += got["failed"] + got["degraded"]
        part.took_s += time.perf_counter() - began
        part.cpu_s += tree_cpu_s(api) - cpu_s
        for gauge, old in was.items():
            for bound, n in buckets(self.url, gauge).items():
                counts = part.freshness[gauge]
                counts[bound] = counts.get(bound, 0.0) + n - old.get(bound, 0.0)

    def turn(self, number: int) -> None:
        """One promotion, and back."""
        settings, client = self.running.settings, self.running.client()
        with self.part("before", 3 * number):
            time.sleep(self.said.seconds)
        with self.part("promotion", 3 * number + 1):
            began = time.perf_counter()
            said = list[tuple[str, float]]()
            promote(
                settings, client, _OTHER, 900,
                lambda what: said.append((what, time.perf_counter() - began)),
            )  # fmt: skip
            self.ready_s.append(next(at for what, at in said if what.startswith("ready")))
            self.live_s.append(time.perf_counter() - began)
            until(lambda: self._all_on(_OTHER), 180, "the user flow to go over")
            self.everywhere_s.append(time.perf_counter() - began)
            time.sleep(self.said.seconds / 2)
        with self.part("rollback", 3 * number + 2):
            began = time.perf_counter()
            rollback(settings, client, lambda _: None)
            self.back_s.append(time.perf_counter() - began)
            until(lambda: self._all_on("day0"), 180, "the user flow to go back")
            time.sleep(self.said.seconds / 2)
        release(settings)
        time.sleep(12)  # until it was let go
        client.close()

    def _all_on(self, bundle: str) -> bool:
        with self.running.client() as client:
            there = Presence(client, Keys(self.running.settings.redis.namespace).holders).holders()
        return bool(there) and all(h.bundle == bundle for h in there)


def _weigh(api: psutil.Process, part: Part, ended: threading.Event) -> None:
    while not ended.wait(0.1):
        tree = [api, *api.children(recursive=True)]
        part.peak_mb = max(part.peak_mb, *(p.memory_info().rss / 1e6 for p in tree))


def fill(running: Engine, world: World, said: argparse.Namespace) -> None:
    """All videos on `videos`, their vectors made, and the viewers' past folded."""
    publisher = Publisher(running.kafka_settings, linger_ms=20)
    for at in range(0, world.n, _CHUNK):
        progress(f"publishing {at} of {world.n} videos")
        for video in world.videos(at, at + _CHUNK):
            publisher.produce(VIDEOS.name, video.video_id.encode(), encode_video(video))
        publisher.flush(60.0)
    publisher.close()
    for flow in ("user-state", "video-stats", "video-vectors"):
        running.flow(flow)
    _wait(running, "video-vectors", "videos")
    load(
        "events", running.kafka.bootstrap, wait=True, videos=world.n, viewers=said.viewers,
        seconds=said.viewers * said.past, seed=9,
    )  # fmt: skip
    _wait(running, "user-state", "events")
    keys = Keys(running.settings.redis.namespace)
    with running.client() as client:
        marks = VectorMarks(client, keys.vector_marks)
        until(lambda: marks.complete("day0"), 60, "the vectors to be marked")


def _wait(running: Engine, flow: str, topic: str) -> None:
    progress(f"waiting for {flow}")
    wanted = ends(running.kafka_settings, topic)
    with running.client() as client:
        key = running.keys.positions(flow)

        def done() -> bool:
            stored = {s.decode(): Stored.parse(raw) for s, raw in client.hgetall(key).items()}
            return all(s in stored and stored[s].offset >= end for s, (_, end) in wanted.items())

        until(done, 600, f"{flow} to fold all of {topic}", running.processes[flow], every_s=0.1)


def measure(running: Engine, said: argparse.Namespace) -> list[Figure]:
    """The table's figures."""
    store = Store(running.environ["HEADRACE_MODEL__REGISTRY"])
    bundles.publish_day0(store, _OTHER, Day0(text=TextWeights(category=2.5)))
    world = World(said.videos, time.time_ns() // 1_000_000)
    fill(running, world, said)
    swap = Swap(running, said, running.serve(said.workers))
    common: dict[str, Any] = {"videos": world.n, "seconds": 3600}
    at = running.kafka.bootstrap
    streams = [
        load("events", at, rate=said.events, viewers=said.viewers, seed=3, **common),
        load("videos", at, rate=said.publish, seed=4, **common),
    ]
    try:
        progress("both streams on")
        load("feeds", swap.url, wait=True, seconds=said.warm, rate=said.rate, viewers=said.viewers)
        for number in range(said.turns):
            progress(f"turn {number + 1} of {said.turns}")
            swap.turn(number)
        said_by: list[Json] = [stop(child) for child in streams]
    finally:
        for child in streams:
            child.kill()
            child.wait()
    return [*_figures(swap), *generators(said_by, ("events", "videos"))]


def _figures(swap: Swap) -> list[Figure]:
    before = swap.parts["before"]
    was50, was99 = percentiles_ms(before.feeds_s)
    out = []
    for name in ("promotion", "rollback"):
        part = swap.parts[name]
        p50, p99 = percentiles_ms(part.feeds_s)
        share = part.cpu_s / part.took_s
        out += [
            Figure(f"{name}: feed p99", p99, "ms", was99, "before", 2 * was99),
            Figure(f"{name}: feed p50", p50, "ms", was50, "before"),
            Figure(f"{name}: answers not full, or failed", part.flaws, "", must=0),
            *_freshness(name, part, before),
            Figure(f"{name}: memory of a worker, peak", part.peak_mb, "MB", before.peak_mb, "before"),
            Figure(f"{name}: processor of the API", share, "cores", before.cpu_s / before.took_s,
                   "before"),
        ]  # fmt: skip
    return [
        *out,
        Figure("promote until ready, slowest", max(swap.ready_s), "s"),
        Figure("promote until live", max(swap.live_s), "s"),
        Figure("promote until the user flow went over", max(swap.everywhere_s), "s"),
        Figure("rollback until live", max(swap.back_s), "s"),
        Figure("before: answers not full, or failed", before.flaws, ""),
    ]


def _freshness(name: str, part: Part, before: Part) -> list[Figure]:
    out = []
    for gauge, what in zip(_GAUGES, ("event to feed", "video to index"), strict=True):
        now, was = (quantile_ms(p.freshness[gauge] or {0.0: 1.0}, 0.99) for p in (part, before))
        out.append(Figure(f"{name}: {what}, p99", now, "ms", was, "before", 1000))
    return out


def main(arguments: Sequence[str] = ()) -> None:
    """Measure, print the table, write bench/out/swap.json, end with a line of JSON."""
    parser = argparse.ArgumentParser(prog="bench.swap", description=__doc__)
    parser.add_argument("--videos", type=int, default=100_000)
    parser.add_argument("--viewers", type=int, default=2000)
    parser.add_argument("--past", type=int, default=20, help="events of each viewer before")
    parser.add_argument("--events", type=float, default=1000, help="a second")
    parser.add_argument("--publish", type=float, default=50, help="videos a second")
    parser.add_argument("--rate", type=float, default=20, help="feeds a second")
    parser.add_argument("--workers", type=int, default=1, help="processes of the API")
    parser.add_argument("--seconds", type=float, default=20, help="of the part before")
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--warm", type=float, default=30, help="seconds of load before")
    parser.add_argument("--repeat", type=int, help="HEADRACE_MODEL__REPEAT_PER_S")
    said = parser.parse_args(arguments)
    environ: dict[str, Any] = {}
    if said.repeat:
        environ["HEADRACE_MODEL__REPEAT_PER_S"] = str(said.repeat)
    with engine(**environ) as running:
        running.environ["HEADRACE_MODEL__REGISTRY"] = str(running.folder / "registry")
        figures = measure(running, said)
    title = (
        f"a promotion among {said.videos:,} videos, {said.events:g} events/s, "
        f"{said.publish:g} videos/s, {said.rate:g} feeds/s, {os.cpu_count()} cores"
    )
    report("swap", title, figures, "promotion: feed p99")


if __name__ == "__main__":
    main(sys.argv[1:])
