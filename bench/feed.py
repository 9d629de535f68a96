"""The feed under load: a million videos, both streams on, over HTTP, by the client's clock.

A whole engine (Apache Kafka, Redis, three flows, the API from a snapshot), events and new videos at a
rate, and viewers with a past. Then in turns: feeds of 20 at a moderate rate (open loop, Poisson), the
bare kernels that a feed cannot do without (`bench._kernels`, in this process), and as many feeds as
go through 16 connections (closed loop). Load generators are processes of their own; the share of a
core that each takes is in the table.

`--against FOLDER` serves the same engine from a checkout of another commit too, and asks both in
turns: its figures are then the baselines.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil

from bench._catalog import BigCatalog, big_catalog, ends
from bench._engine import Engine, engine, until
from bench._kernels import PARTS, Kernels
from bench._report import Figure, percentiles_ms, progress, report
from headrace.servers.process import free_port
from streams.positions import Stored

Json = dict[str, Any]


@dataclass
class Api:
    """One API that is measured, and what came of it."""

    url: str
    process: psutil.Process
    open_s: list[float] = field(default_factory=list)
    closed_s: list[float] = field(default_factory=list)
    closed_per_s: list[float] = field(default_factory=list)
    closed_cpu_s: float = 0.0
    closed_n: int = 0
    flaws: int = 0
    items: int = 0
    server: dict[float, float] = field(default_factory=dict)

    def cpu_s(self) -> float:
        """Processor seconds of all its processes so far."""
        return tree_cpu_s(self.process)

    def count(self, got: Json) -> None:
        """Failures, degraded answers and items of one part."""
        self.flaws += got["failed"] + got["degraded"]
        self.items += got["items"]


def tree_cpu_s(process: psutil.Process) -> float:
    """Processor seconds of a process and its living children."""
    total = 0.0
    for each in [process, *process.children(recursive=True)]:
        times = each.cpu_times()
        total += times.user + times.system
    return total


def load(what: str, at: str, wait: bool = False, **options: object) -> Any:
    """A generator as a process (`finish` reads it), or what it said if it is waited for."""
    said = [f"--{name}={value}" for name, value in options.items()]
    child = subprocess.Popen(
        [sys.executable, "-m", "bench._load", what, "--at", at, *said], stdout=subprocess.PIPE
    )
    return finish(child) if wait else child


def finish(child: "subprocess.Popen[bytes]") -> Json:
    """The generator's last line.

    Raises:
        RuntimeError: it failed.
    """
    out, _ = child.communicate(timeout=600)
    if child.returncode:
        raise RuntimeError(f"a load generator ended with status {child.returncode}")
    said: Json = json.loads(out.splitlines()[-1])
    return said


def start(running: Engine, big: BigCatalog, viewers: int, past: int) -> None:
    """Catalog, flows, and `past` events of each viewer, folded."""
    big.produce(running.kafka_settings)
    for flow in ("user-state", "video-stats", "video-vectors"):
        running.flow(flow)
    progress("folding the viewers' past")
    options = {"videos": big.world.n, "viewers": viewers, "seconds": viewers * past, "seed": 9}
    load("events", running.kafka.bootstrap, wait=True, rate=0, **options)
    with running.client() as client:
        key = running.keys.positions("user-state")

        def folded() -> bool:
            stored = {s.decode(): Stored.parse(raw) for s, raw in client.hgetall(key).items()}
            wanted = ends(running.kafka_settings, "events")
            return all(s in stored and stored[s].offset >= end for s, (_, end) in wanted.items())

        until(folded, 300, "the viewers' past to be folded", running.processes["user-state"])


def serve(running: Engine, big: BigCatalog, workers: int, name: str, code: Path | None) -> Api:
    """An API from its own snapshot; of another checkout if `code` says so."""
    folder = running.folder / f"snapshot-{name}"
    big.snapshot_for(running.kafka_settings, folder)
    port = free_port()
    environ = {
        "HEADRACE_INDEX__SNAPSHOT_DIR": str(folder),
        "HEADRACE_API__PORT": str(port),
        "HEADRACE_API__WORKERS": str(workers),
        "PYTHONPATH": str(code or Path.cwd()),
    }
    process = running.start(name, "serve", **environ)
    url = f"http://127.0.0.1:{port}"

    def ready() -> bool:
        try:
            return httpx.get(f"{url}/readyz", timeout=1.0, trust_env=False).status_code == 200
        except httpx.HTTPError:
            return False

    until(ready, 600, f"{name} to be ready", process)
    return Api(url, psutil.Process(process.pid))


def feed_histogram(url: str) -> dict[float, float]:
    """Upper bound -> feeds so far, of `headrace_feed_seconds`, all rungs together."""
    out: dict[float, float] = {}
    for line in httpx.get(f"{url}/metrics", timeout=10.0, trust_env=False).text.splitlines():
        if line.startswith("headrace_feed_seconds_bucket"):
            bound = float(line.split('le="')[1].split('"')[0])
            out[bound] = out.get(bound, 0.0) + float(line.rsplit(" ", 1)[1])
    return out


def quantile_ms(counts: Mapping[float, float], q: float) -> float:
    """Of cumulative bucket counts, linear within a bucket; the last bound where it is beyond."""
    below, low = 0.0, 0.0
    for bound, count in sorted(counts.items()):
        if count >= q * max(counts.values()):
            if not np.isfinite(bound):
                return low * 1000
            share = (q * max(counts.values()) - below) / max(count - below, 1e-9)
            return (low + share * (bound - low)) * 1000
        below, low = count, bound
    return low * 1000


def open_turn(api: Api, said: argparse.Namespace, turn: int) -> None:
    """Feeds at a moderate rate."""
    before = feed_histogram(api.url)
    got = load(
        "feeds", api.url, wait=True, rate=said.rate, seconds=said.seconds, connections=64,
        viewers=said.viewers, limit=said.limit, seed=turn,
    )  # fmt: skip
    api.open_s += got["seconds"]
    api.count(got)
    for bound, n in feed_histogram(api.url).items():
        api.server[bound] = api.server.get(bound, 0.0) + n - before.get(bound, 0.0)


def closed_turn(api: Api, said: argparse.Namespace, turn: int) -> float:
    """As many feeds as go; processor seconds of the client."""
    before = api.cpu_s()
    got = load(
        "feeds", api.url, wait=True, seconds=said.seconds, connections=said.connections,
        viewers=said.viewers, limit=said.limit, seed=100 + turn,
    )  # fmt: skip
    api.closed_cpu_s += api.cpu_s() - before
    api.closed_n += len(got["seconds"])
    api.closed_s += got["seconds"]
    api.closed_per_s.append(got["per_s"])
    api.count(got)
    return float(got["cpu_s"])


def kernel_turn(kernels: Kernels, said: argparse.Namespace, turn: int) -> list[list[float]]:
    """Rows of seconds of each part, at the same rate as the feeds."""
    rng, rows = np.random.default_rng(turn), []
    end = time.perf_counter() + said.seconds / 2
    while time.perf_counter() < end:
        rows.append(kernels.one(f"u_{rng.integers(said.viewers)}"))
        time.sleep(1 / said.rate)
    return rows


def measure(
    running: Engine, big: BigCatalog, said: argparse.Namespace
) -> tuple[list[Figure], list[Figure]]:
    """The table's figures, and those of the other commit."""
    start(running, big, said.viewers, said.past)
    apis = [serve(running, big, said.workers, "api", None)]
    if said.against:
        apis.append(serve(running, big, said.workers, "api-other", said.against))
    kernels = Kernels(big, running.client(), running.keys, said.limit)
    at = running.kafka.bootstrap
    longest = (said.seconds * 2.6 * len(apis)) * said.turns + 20
    common = {"videos": big.world.n, "seconds": longest}
    streams = [
        load("events", at, rate=said.events, viewers=said.viewers, seed=3, **common),
        load("videos", at, rate=said.publish, seed=4, **common),
    ]
    rows: list[list[float]] = []
    client_cpu_s = 0.0
    try:
        for api in apis:
            load("feeds", api.url, wait=True, seconds=3, rate=said.rate, viewers=said.viewers)
        began = time.perf_counter()
        for turn in range(said.turns):
            for api in apis if turn % 2 else apis[::-1]:
                progress(f"turn {turn + 1} of {said.turns}: feeds of {api.url}")
                open_turn(api, said, turn)
                client_cpu_s += closed_turn(api, said, turn)
            rows += kernel_turn(kernels, said, turn)
        took = time.perf_counter() - began
        shares = [
            (name, tree_cpu_s(psutil.Process(child.pid)) / (took + 5))
            for name, child in zip(("events", "videos"), streams, strict=True)
        ]
    finally:
        for child in streams:
            child.terminate()
            child.wait()
    shares.append(("feeds at full speed", client_cpu_s / (said.turns * said.seconds * len(apis))))
    figures = _figures(apis[0], apis[1] if said.against else None, np.array(rows), kernels, said)
    figures += [Figure(f"load generator: {name}", share, "cores") for name, share in shares]
    return figures, []


def _figures(
    api: Api, other: Api | None, rows: Any, kernels: Kernels, said: argparse.Namespace
) -> list[Figure]:
    bare = np.median(rows.sum(axis=1)) * 1000
    p50, p99 = percentiles_ms(api.open_s)
    cpu_ms = api.closed_cpu_s / api.closed_n * 1000
    per_s, closed_p99 = float(np.median(api.closed_per_s)), percentiles_ms(api.closed_s)[1]
    rate = f"{said.rate:g}/s"
    out = [
        Figure(f"feed p50 at {rate}", p50, "ms", bare, "bare kernels, p50", 2 * bare, 2 * bare),
        Figure(f"feed p99 at {rate}", p99, "ms", None, "", 50, 20),
        Figure("the same by the server's histogram, p50", quantile_ms(api.server, 0.5), "ms"),
        Figure("the same by the server's histogram, p99", quantile_ms(api.server, 0.99), "ms"),
        Figure(
            f"feeds a second, {said.connections} connections", per_s, "1/s", None, "", 200, 400,
            more=True,
        ),
        Figure("feed p99 meanwhile", closed_p99, "ms", 134, "Gorse, 839/s of cached lists", 134),
        Figure("processor of the API a feed, meanwhile", cpu_ms, "ms"),
        Figure("answers not full, or failed", api.flaws, "", None, "", 0),
        Figure("items a feed", api.items / (len(api.open_s) + api.closed_n), ""),
        Figure("effort of the graph (ef)", kernels.ef, ""),
    ]  # fmt: skip
    for i, part in enumerate(PARTS):
        out.append(Figure(f"bare kernels: {part}", float(np.median(rows[:, i])) * 1000, "ms"))
    if other is not None:
        was50, was99 = percentiles_ms(other.open_s)
        out += [
            Figure("against the other commit: p50", p50, "ms", was50, "the other"),
            Figure("against the other commit: p99", p99, "ms", was99, "the other"),
            Figure(
                "against the other commit: feeds a second", per_s, "1/s",
                float(np.median(other.closed_per_s)), "the other",
            ),
            Figure(
                "against the other commit: processor a feed", cpu_ms, "ms",
                other.closed_cpu_s / other.closed_n * 1000, "the other",
            ),
            Figure("the other's answers not full, or failed", other.flaws, ""),
        ]  # fmt: skip
    return out


def main(arguments: Sequence[str] = ()) -> None:
    """Measure, print the table, write bench/out/feed.json, end with a line of JSON."""
    parser = argparse.ArgumentParser(prog="bench.feed", description=__doc__)
    parser.add_argument("--videos", type=int, default=1_000_000, help="made once, then cached")
    parser.add_argument("--viewers", type=int, default=5000)
    parser.add_argument("--past", type=int, default=20, help="events of each viewer before")
    parser.add_argument("--events", type=float, default=2000, help="a second")
    parser.add_argument("--publish", type=float, default=100, help="videos a second")
    parser.add_argument("--rate", type=float, default=25, help="feeds a second, moderate")
    parser.add_argument("--connections", type=int, default=16, help="of the closed loop")
    parser.add_argument("--limit", type=int, default=20)
    parser.add_argument("--workers", type=int, default=1, help="processes of the API")
    parser.add_argument("--seconds", type=float, default=8, help="of each part of a turn")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--against", type=Path, help="a checkout of another commit")
    said = parser.parse_args(arguments)
    big = big_catalog(said.videos)
    with engine() as running:
        figures, _ = measure(running, big, said)
    title = (
        f"feed of {said.limit}, {said.videos:,} videos, {said.events:g} events/s, "
        f"{said.publish:g} videos/s, {said.workers} worker(s), {os.cpu_count()} cores"
    )
    report("feed", title, figures, f"feed p50 at {said.rate:g}/s")


if __name__ == "__main__":
    main(sys.argv[1:])
