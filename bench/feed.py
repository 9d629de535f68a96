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
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from bench._catalog import BigCatalog, big_catalog
from bench._engine import Engine, engine
from bench._kernels import PARTS, Kernels
from bench._report import Figure, percentiles_ms, progress, report
from bench._whole import (
    Json,
    buckets,
    generators,
    load,
    quantile_ms,
    serve,
    start,
    stop,
    tree_cpu_s,
)


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


def open_turn(api: Api, said: argparse.Namespace, turn: int) -> None:
    """Feeds at a moderate rate."""
    before = buckets(api.url, "headrace_feed_seconds")
    got = load(
        "feeds", api.url, wait=True, rate=said.rate, seconds=said.seconds, connections=64,
        viewers=said.viewers, limit=said.limit, seed=turn,
    )  # fmt: skip
    api.open_s += got["seconds"]
    api.count(got)
    for bound, n in buckets(api.url, "headrace_feed_seconds").items():
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


def measure(running: Engine, big: BigCatalog, said: argparse.Namespace) -> list[Figure]:
    """The table's figures."""
    start(running, big, said.viewers, said.past)
    apis = [Api(*serve(running, big, said.workers, "api"))]
    if said.against:
        apis.append(Api(*serve(running, big, said.workers, "api-other", said.against)))
    kernels = Kernels(big, running.client(), running.keys, said.limit)
    at = running.kafka.bootstrap
    longest = (said.seconds * 2.6 * len(apis)) * said.turns + 20 + said.warm
    common = {"videos": big.world.n, "seconds": longest}
    streams = [
        load("events", at, rate=said.events, viewers=said.viewers, seed=3, **common),
        load("videos", at, rate=said.publish, seed=4, **common),
    ]
    rows: list[list[float]] = []
    client_cpu_s = 0.0
    try:
        progress("both streams on: the broker's compiler takes a core for its first half minute")
        time.sleep(said.warm)
        for api in apis:
            load("feeds", api.url, wait=True, seconds=3, rate=said.rate, viewers=said.viewers)
        for turn in range(said.turns):
            for api in apis if turn % 2 else apis[::-1]:
                progress(f"turn {turn + 1} of {said.turns}: feeds of {api.url}")
                open_turn(api, said, turn)
                client_cpu_s += closed_turn(api, said, turn)
            rows += kernel_turn(kernels, said, turn)
        said_by = [stop(child) for child in streams]
    finally:
        for child in streams:
            child.kill()
            child.wait()
    client = client_cpu_s / (said.turns * said.seconds * len(apis))
    figures = _figures(apis[0], apis[1] if said.against else None, np.array(rows), kernels, said)
    figures += generators(said_by, ("events", "videos"))
    figures.append(Figure("load generator: feeds at full speed", client, "cores"))
    return figures


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
    parser.add_argument("--warm", type=float, default=40, help="seconds of both streams before")
    parser.add_argument(
        "--against", type=Path, help="a checkout of another commit that reads the same state"
    )
    said = parser.parse_args(arguments)
    big = big_catalog(said.videos)
    with engine() as running:
        figures = measure(running, big, said)
    title = (
        f"feed of {said.limit}, {said.videos:,} videos, {said.events:g} events/s, "
        f"{said.publish:g} videos/s, {said.workers} worker(s), {os.cpu_count()} cores"
    )
    report("feed", title, figures, f"feed p50 at {said.rate:g}/s")


if __name__ == "__main__":
    main(sys.argv[1:])
