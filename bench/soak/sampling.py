"""One sample of everything: processes, Redis, Kafka, /metrics, and what the generators say."""

import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx
import numpy as np
from redis import Redis

from bench._engine import Engine
from bench.soak.lag import FLOWS, Lag, sources
from bench.soak.recording import Recording
from bench.soak.watching import Look, Shares, Watched
from bench.soak.world import World, viewer_id
from headrace.dashboard.histograms import Scrape, buckets, by_label, quantile, since, total
from headrace.dashboard.scraping import read

METRICS_EVERY_S: Final = 2.0  # the API's are summed over files: that costs it some milliseconds
SLOW_EVERY_S: Final = 10.0
_ASKED: Final = 64  # viewers, evenly spread, whose state is weighed
SNAPSHOTS: Final = "snapshots"
LOADS: Final = ("load: events", "load: publishing", "load: feeds")
_HISTOGRAMS: Final = {
    "event to state": "headrace_event_to_state_seconds",
    "event to feed": "headrace_event_to_feed_seconds",
    "video to index": "headrace_video_to_index_seconds",
}


@dataclass(slots=True)
class Tail:
    """What a generator has printed since the last look."""

    path: Path
    at: int = 0

    def lines(self) -> list[dict[str, Any]]:
        """Only whole lines of JSON; anything else it printed is a complaint and stays in its log."""
        with self.path.open("rb") as file:
            file.seek(self.at)
            text = file.read()
        whole = text[: text.rfind(b"\n") + 1]
        self.at += len(whole)
        return [json.loads(line) for line in whole.splitlines() if line.startswith(b"{")]


@dataclass(slots=True)
class Totals:
    """What is counted over the whole measured time.

    Attributes:
        feed_ms, fresh_ms: by the client's clock.
        said: the newest line of each generator.
        failed: reasons of samples that failed.
        ended: processes of the engine that ended, or were started again.
    """

    feed_ms: list[float] = field(default_factory=list)
    fresh_ms: list[float] = field(default_factory=list)
    said: dict[str, dict[str, Any]] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)
    ended: set[str] = field(default_factory=set)


class Sampler:
    """Samples an engine; `window_s` is the span of one quantile."""

    def __init__(
        self,
        engine: Engine,
        world: World,
        urls: Mapping[str, str],
        window_s: float,
        warm_s: float,
    ) -> None:
        self._engine, self._world, self._urls = engine, world, urls
        self._window_s, self._warm_s = window_s, warm_s
        self.recording, self.totals = Recording(), Totals()
        self._http = httpx.Client(timeout=2.0, trust_env=False)
        self._redis: Redis = engine.client()
        self.lag = Lag(engine, self._redis)
        self._shares, self._watched = Shares(), self._processes()
        self._tails = {name: Tail(engine.processes[name].log) for name in LOADS}
        self._workers = frozenset[int]()
        self._next: dict[str, float] = {}
        self._window: tuple[float, dict[str, Scrape]] | None = None
        self._recent: dict[str, list[float]] = {"feed": [], "event to feed": []}
        self._empty_bytes = float(self._redis.info("memory")["used_memory_startup"])
        self.warm: dict[str, Scrape] | None = None
        self.newest: dict[str, Scrape] = {}

    def _processes(self) -> dict[str, Watched]:
        engine = self._engine
        out = {name: Watched(engine.processes[name].pid) for name in (*FLOWS, *LOADS)}
        out["API"] = Watched(engine.processes["api"].pid, children=True)
        out["Redis"] = Watched(engine.redis.process.pid)
        out["Apache Kafka"] = Watched(engine.kafka.process.pid)
        return out | {"soak itself": Watched(os.getpid())}

    def sample(self, at_s: float) -> None:
        """Everything that is due; `at_s` is the time since the load began.

        What does not answer is noted as failed and sampled again the next time.
        """
        self._look(at_s)
        self._listen(at_s)
        for what, every_s, of in (
            ("metrics", METRICS_EVERY_S, self._scrape),
            ("lag", METRICS_EVERY_S, self._behind),
            ("redis", 1.0, self._memory),
            ("slow", SLOW_EVERY_S, self._slow),
        ):
            if at_s >= self._next.get(what, 0.0):
                self._next[what] = at_s + every_s - 0.05
                try:
                    of(at_s)
                except Exception as e:  # a sample less is no reason to end the run; it is counted
                    self.totals.failed.append(f"{what}: {e!r}")

    def drained(self) -> None:
        """The last words of the generators, and the counters at the very end."""
        self._listen(float("inf"))
        reading = read(self._http, list(self._urls.values()), 0.0)
        if reading.down:
            raise TimeoutError(f"no answer from {', '.join(reading.down)}")
        self.newest = reading.scrapes

    def close(self) -> None:
        """Close the connections."""
        self._http.close()
        self._redis.close()

    def _look(self, at_s: float) -> None:
        looks = {name: process.look() for name, process in self._watched.items()}
        self.totals.ended |= {n for n, look in looks.items() if look is None} - set(LOADS)
        if api := looks["API"]:
            self.totals.ended |= {f"process {pid} of the API" for pid in self._workers - api.pids}
            self._workers = api.pids
        add = self.recording.add
        for name, look in looks.items():
            if look is not None and name not in LOADS:
                self._one(name, look, at_s)
        shares = self._shares.of(looks, time.monotonic())
        if shares:
            add("processor", "load", at_s, sum(shares.pop(name, 0.0) for name in LOADS))
        for name, share in shares.items():
            add("processor", name, at_s, share)

    def _one(self, name: str, look: Look, at_s: float) -> None:
        add = self.recording.add
        panel = "memory of the flows" if name in FLOWS else "memory of the API"
        if name in ("Redis", "Apache Kafka"):
            panel = "memory of Redis" if name == "Redis" else ""
        if panel and name != "soak itself":
            add(panel, "resident" if name == "Redis" else name, at_s, look.rss_mb)
        add("open files and sockets", name, at_s, look.handles)
        add("threads", name, at_s, look.threads)

    def _listen(self, at_s: float) -> None:
        for name, tail in self._tails.items():
            for line in tail.lines():
                self.totals.said[name] = line
                feed_ms, fresh_ms = line.pop("feed_ms", ()), line.pop("fresh_ms", ())
                self._recent["feed"] += feed_ms
                self._recent["event to feed"] += fresh_ms
                if at_s >= self._warm_s:
                    self.totals.feed_ms += feed_ms
                    self.totals.fresh_ms += fresh_ms

    def _scrape(self, at_s: float) -> None:
        reading = read(self._http, list(self._urls.values()), at_s)
        if reading.down:
            raise TimeoutError(f"no answer from {', '.join(reading.down)}")
        self.newest = reading.scrapes
        if self.warm is None and at_s >= self._warm_s:
            self.warm = reading.scrapes
        self._gauges(at_s, list(reading.scrapes.values()))
        if self._window is None or at_s - self._window[0] >= self._window_s:
            if self._window is not None:
                self._quantiles(at_s, *self._window)
            self._window = at_s, reading.scrapes

    def _gauges(self, at_s: float, scrapes: list[Scrape]) -> None:
        add, api = self.recording.add, [self.newest[self._urls["API"]]]
        add("recall", "lowest replica", at_s, total(api, "headrace_index_recall_ratio") or None)
        add("index", "retrievable", at_s, total(api, "headrace_index_videos"))
        rungs = by_label(api, "headrace_feed_seconds_count", "rung")
        below_full = sum(n for rung, n in rungs.items() if rung != "full")
        add("feeds from a lower rung", "API", at_s, below_full)
        work = "index, work of the maintenance"
        add(work, "tombstones, %", at_s, 100 * total(api, "headrace_index_tombstone_ratio"))
        add(work, "tail, rows", at_s, total(api, "headrace_index_tail_rows"))
        add(work, "rebuilds so far", at_s, total(api, "headrace_index_rebuilds_total"))
        taken = total(api, "headrace_index_snapshots_total", outcome="taken")
        add(work, "snapshots so far", at_s, taken)
        for name in FLOWS:
            scrape = [self.newest[self._urls[name]]]
            collected = total(scrape, "python_gc_collections_total", generation="2")
            add("collections of the oldest generation", name, at_s, collected)

    def _quantiles(self, at_s: float, began_s: float, before: dict[str, Scrape]) -> None:
        middle_s, span_s = (at_s + began_s) / 2, at_s - began_s
        gained = [since(self.newest[url], before.get(url)) for url in self.newest]
        add = self.recording.add
        for panel, name in _HISTOGRAMS.items():
            histogram = buckets(gained, name)
            for line, q in (("p50", 0.5), ("p99", 0.99)):
                value = quantile(histogram, q)
                add(panel, line, middle_s, None if value is None else 1000 * value)
        for panel, taken in self._recent.items():
            mark = "" if panel == "feed" else "client's clock, "
            if taken:
                add(panel, f"{mark}p50", middle_s, float(np.percentile(taken, 50)))
                add(panel, f"{mark}p99", middle_s, float(np.percentile(taken, 99)))
        self._recent = {"feed": [], "event to feed": []}
        for line, name in (
            ("events folded", "headrace_events_total"),
            ("duplicates passed over", "headrace_duplicates_total"),
            ("feeds", "headrace_feed_seconds_count"),
        ):
            add("throughput", line, middle_s, total(gained, name) / span_s)

    def _behind(self, at_s: float) -> None:
        for flow, behind in self.lag.behind().items():
            self.recording.add("lag", flow, at_s, behind)

    def _memory(self, at_s: float) -> None:
        used = float(self._redis.info("memory")["used_memory"])
        users = int(self._redis.dbsize())
        add = self.recording.add
        add("memory of Redis", "in use", at_s, used / 1e6)
        add("load: who there is", "viewers with a state", at_s, users)
        there = self._world.viewers_at(self._world.began_s + at_s)
        pipe = self._redis.pipeline(transaction=False)
        for number in there[:: max(len(there) // _ASKED, 1)]:
            pipe.memory_usage(self._engine.keys.user(viewer_id(number)))
        sizes = [size for size in pipe.execute() if size]
        if sizes:
            each = float(np.mean(sizes))
            add("Redis per viewer", f"mean of {_ASKED}", at_s, each)
            rest = used - self._empty_bytes - each * users
            add("Redis without the viewers", "statistics, buffers", at_s, rest / 1e6)

    def _slow(self, at_s: float) -> None:
        keys, pipe = self._engine.keys, self._redis.pipeline(transaction=False)
        for source in [s for topic in FLOWS["video-stats"] for s in sources(topic)]:
            pipe.hlen(keys.stats(source))
        add = self.recording.add
        add("load: who there is", "fields of the statistics", at_s, sum(pipe.execute()))
        for panel, name, folder in (
            ("disk", "Kafka's log", "kafka"),
            ("disk", "Redis' append-only file", "redis"),
            ("snapshots on disk", "all of them", SNAPSHOTS),
        ):
            size = sum(_size(path) for path in (self._engine.folder / folder).rglob("*"))
            add(panel, name, at_s, size / 1e6)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size if path.is_file() else 0
    except FileNotFoundError:  # Kafka and Redis delete files while we look
        return 0
