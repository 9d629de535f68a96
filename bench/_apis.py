"""An API under load of feeds: at a rate, and as many as go, with what that costs and whom."""

import argparse
import os
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import psutil

from bench._catalog import BigCatalog
from bench._engine import Engine
from bench._report import Figure, percentiles_ms, progress
from bench._whole import Json, buckets, load, serve, tree_cpu_s


@dataclass
class Api:
    """One API that is measured, and what came of it."""

    url: str
    process: psutil.Process
    open_s: list[float] = field(default_factory=list)
    closed_s: list[float] = field(default_factory=list)
    closed_per_s: list[float] = field(default_factory=list)
    closed_cpu_s: float = 0.0
    closed_client_s: float = 0.0
    closed_took_s: float = 0.0
    closed_n: int = 0
    flaws: int = 0
    items: int = 0
    server: dict[float, float] = field(default_factory=dict)

    def cpu_s(self) -> float:
        """Processor seconds of all its processes so far."""
        return tree_cpu_s(self.process)

    @property
    def closed_cpu_ms(self) -> float:
        """Processor of the API a feed of the closed loop."""
        return self.closed_cpu_s / max(self.closed_n, 1) * 1000

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


def closed_turn(api: Api, said: argparse.Namespace, turn: int) -> None:
    """As many feeds as go."""
    before = api.cpu_s()
    got = load(
        "feeds", api.url, wait=True, seconds=said.seconds, connections=said.connections,
        viewers=said.viewers, limit=said.limit, seed=100 + turn,
    )  # fmt: skip
    api.closed_cpu_s += api.cpu_s() - before
    api.closed_n += len(got["seconds"])
    api.closed_s += got["seconds"]
    api.closed_per_s.append(got["per_s"])
    api.closed_client_s += got["cpu_s"]
    api.closed_took_s += got["took_s"]
    api.count(got)


def closed_by_workers(
    running: Engine, big: BigCatalog, said: argparse.Namespace, streams: str
) -> list[Figure]:
    """As many feeds as go, by the number of worker processes: each API of its own, alone."""
    out: list[Figure] = []
    for workers in said.closed_workers:
        name = f"api-{streams}-{workers}"
        api = Api(*serve(running, big, workers, name))
        try:
            load("feeds", api.url, wait=True, seconds=3, viewers=said.viewers)
            for turn in range(said.closed_turns):
                progress(f"as many feeds as go, streams {streams}, {workers} worker(s)")
                closed_turn(api, said, turn)
        finally:
            running.stop(name)
        out += closed_figures(api, f"streams {streams}, {workers} worker(s)")
    return out


def closed_figures(api: Api, label: str) -> Sequence[Figure]:
    """Feeds a second, their p99, and whose processor they take."""
    per_s, p99 = float(np.median(api.closed_per_s)), percentiles_ms(api.closed_s)[1]
    cores = os.cpu_count() or 1
    return (
        Figure(f"feeds a second, {label}", per_s, "1/s", None, "", 200, 400, more=True),
        Figure(f"feed p99, {label}", p99, "ms", 134, "Gorse, 839/s of cached lists", 134),
        Figure(f"API's processor a feed, {label}", api.closed_cpu_ms, "ms"),
        Figure(
            f"API's share of the machine, {label}", api.closed_cpu_s / api.closed_took_s / cores, ""
        ),
        Figure(
            f"load generator's share, {label}", api.closed_client_s / api.closed_took_s / cores, ""
        ),
        Figure(f"answers not full, or failed, {label}", api.flaws, "", None, "", 0),
    )
