"""The feed under load: a million videos, both streams on, over HTTP, by the client's clock.

A whole engine (Apache Kafka, Redis, three flows, the API from a snapshot), events and new videos at a
rate, and viewers with a past. Then in turns: feeds of 20 at a moderate rate (open loop, Poisson), the
bare kernels that a feed cannot do without (`bench._kernels`, in this process), and as many feeds as
go through 16 connections (closed loop). Before the streams begin, and again beside them, the closed
loop alone for each number of workers. Load generators are processes of their own; the share that each
takes is in the table. What the closed loop would give if a feed cost no more than its bare kernels is
what a compiled inner loop could be worth at most.

`--against FOLDER` serves the same engine from a checkout of another commit too, and asks both in
turns: its figures are then the baselines.
"""

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench._apis import Api, closed_by_workers, closed_figures, closed_turn, open_turn
from bench._catalog import BigCatalog, big_catalog
from bench._engine import Engine, engine
from bench._kernels import PARTS, Kernels
from bench._report import Figure, percentiles_ms, progress, report
from bench._whole import (
    generators,
    load,
    quantile_ms,
    serve,
    start,
    stop,
)


def kernel_turn(kernels: Kernels, said: argparse.Namespace, turn: int) -> list[list[float]]:
    """Rows of seconds of each part and of processor, at the same rate as the feeds."""
    rng, rows = np.random.default_rng(turn), []
    end = time.perf_counter() + said.seconds / 2
    while time.perf_counter() < end:
        started_s = time.thread_time()
        seconds = kernels.one(f"u_{rng.integers(said.viewers)}")
        rows.append([*seconds, time.thread_time() - started_s])
        time.sleep(1 / said.rate)
    return rows


def measure(running: Engine, big: BigCatalog, said: argparse.Namespace) -> list[Figure]:
    """The table's figures."""
    start(running, big, said.viewers, said.past)
    alone = closed_by_workers(running, big, said, "off")
    apis = [Api(*serve(running, big, said.workers, "api"))]
    if said.against:
        apis.append(Api(*serve(running, big, said.workers, "api-other", said.against)))
    kernels = Kernels(big, running.client(), running.keys, said.limit)
    at = running.kafka.bootstrap
    longest = (said.seconds * 2.6 * len(apis)) * said.turns + 20 + said.warm
    longest += len(said.closed_workers) * (said.closed_turns * said.seconds + 60)
    common = {"videos": big.world.n, "seconds": longest}
    streams = [
        load("events", at, rate=said.events, viewers=said.viewers, seed=3, **common),
        load("videos", at, rate=said.publish, seed=4, **common),
    ]
    rows: list[list[float]] = []
    try:
        progress("both streams on: the broker's compiler takes a core for its first half minute")
        time.sleep(said.warm)
        for api in apis:
            load("feeds", api.url, wait=True, seconds=3, rate=said.rate, viewers=said.viewers)
        for turn in range(said.turns):
            for api in apis if turn % 2 else apis[::-1]:
                progress(f"turn {turn + 1} of {said.turns}: feeds of {api.url}")
                open_turn(api, said, turn)
                closed_turn(api, said, turn)
            rows += kernel_turn(kernels, said, turn)
        for name in ("api", "api-other")[: len(apis)]:
            running.stop(name)
        alone += closed_by_workers(running, big, said, "on")
        said_by = [stop(child) for child in streams]
    finally:
        for child in streams:
            child.kill()
            child.wait()
    figures = _figures(apis[0], apis[1] if said.against else None, np.array(rows), kernels, said)
    figures += generators(said_by, ("events", "videos"))
    return figures + alone


def _figures(
    api: Api, other: Api | None, rows: Any, kernels: Kernels, said: argparse.Namespace
) -> list[Figure]:
    bare, bare_cpu = np.median([rows[:, :-1].sum(axis=1), rows[:, -1]], axis=1) * 1000
    p50, p99 = percentiles_ms(api.open_s)
    cpu_ms, per_s = api.closed_cpu_ms, float(np.median(api.closed_per_s))
    workers = f"streams on, {said.workers} worker(s), in turns"
    rate = f"{said.rate:g}/s"
    out = [
        Figure(f"feed p50 at {rate}", p50, "ms", bare, "bare kernels, p50", 2 * bare, 2 * bare),
        Figure(f"feed p99 at {rate}", p99, "ms", None, "", 50, 20),
        Figure("the same by the server's histogram, p50", quantile_ms(api.server, 0.5), "ms"),
        Figure("the same by the server's histogram, p99", quantile_ms(api.server, 0.99), "ms"),
        *closed_figures(api, workers),
        Figure(
            "feeds a second if they cost the bare kernels", per_s * cpu_ms / bare_cpu, "1/s",
            per_s, "now",
        ),
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
                other.closed_cpu_ms, "the other",
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
    parser.add_argument("--events", type=float, default=2000, help="a second; 0: none")
    parser.add_argument("--publish", type=float, default=100, help="videos a second; 0: none")
    parser.add_argument("--rate", type=float, default=25, help="feeds a second, moderate")
    parser.add_argument("--connections", type=int, default=16, help="of the closed loop")
    parser.add_argument("--limit", type=int, default=20)
    parser.add_argument("--workers", type=int, default=1, help="processes of the API, in turns")
    parser.add_argument(
        "--closed-workers", type=int, nargs="*", default=[1, 2], help="of the closed loop alone"
    )
    parser.add_argument("--closed-turns", type=int, default=2, help="of the closed loop alone")
    parser.add_argument("--seconds", type=float, default=8, help="of each part of a turn")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--warm", type=float, default=40, help="seconds of both streams before")
    parser.add_argument(
        "--against", type=Path, help="a checkout of another commit that reads the same state"
    )
    said = parser.parse_args(arguments)
    if said.against:
        # Who comes second stands in the wake of the other's closed loop: let both do so as often.
        said.turns += said.turns % 2
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
