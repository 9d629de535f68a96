"""Boot: from the start of `headrace serve` to the first 200 of /readyz, and what the process then holds.

A real process on Apache Kafka and Redis, with no videos, and with `--videos` of `bench._catalog` from a
snapshot, in turns; `--topics` also lets it read all of them from the topic, without a snapshot. Memory is
the resident size of the worker, two seconds after it was ready; of a million videos it is what comes to
that of a worker without videos. The page cache is warm, as it is after a deployment. There are no
statistics of videos on the topics: they are read from the start in every boot, and cost their own time.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from bench._catalog import BigCatalog, big_catalog
from bench._engine import Engine, engine
from bench._report import Figure, progress, report
from bench._whole import tree_cpu_s

_FOLDER = "HEADRACE_INDEX__SNAPSHOT_DIR"
_SETTLE_S = 2.0


@dataclass(frozen=True, slots=True)
class Boot:
    """What one boot took and left."""

    ready_s: float
    cpu_s: float
    rss_mb: float


def booted(running: Engine, folder: Path | None) -> Boot:
    """Start a serving process, wait until it is ready, weigh it, end it."""
    running.environ.pop(_FOLDER, None)
    if folder:
        running.environ[_FOLDER] = str(folder)
    began = time.perf_counter()
    running.serve()
    ready_s = time.perf_counter() - began
    process = psutil.Process(running.processes["api"].pid)
    cpu_s = tree_cpu_s(process)
    time.sleep(_SETTLE_S)
    tree = [process, *process.children(recursive=True)]
    rss_mb = max(each.memory_info().rss for each in tree) / 1e6
    running.stop("api")
    return Boot(ready_s, cpu_s, rss_mb)


def in_turns(running: Engine, big: BigCatalog, turns: int) -> tuple[list[Boot], list[Boot]]:
    """Boots without videos and from a snapshot."""
    empty, full = list[Boot](), list[Boot]()
    for turn in range(turns):
        progress(f"boot {turn + 1} of {turns}")
        empty.append(booted(running, None))
        folder = running.folder / f"snapshot-{turn}"
        big.snapshot_for(running.kafka_settings, folder)
        full.append(booted(running, folder))
    return empty, full


def figures_of(empty: Sequence[Boot], full: Sequence[Boot], videos: int) -> list[Figure]:
    """Medians, and what a million videos come to."""

    def median(boots: Sequence[Boot], name: str) -> float:
        return float(statistics.median(getattr(boot, name) for boot in boots))

    none, alone = "no videos", median(empty, "rss_mb")
    held = median(full, "rss_mb")
    return [
        Figure(
            "boot from a snapshot, until ready", median(full, "ready_s"), "s",
            median(empty, "ready_s"), none, must=15, aim=5,
        ),
        Figure("slowest", max(b.ready_s for b in full), "s", max(b.ready_s for b in empty), none),
        Figure("processor until ready", median(full, "cpu_s"), "s", median(empty, "cpu_s"), none),
        Figure("memory of the worker", held, "MB", alone, none),
        Figure("memory of a million videos", (held - alone) / videos * 1e6, "MB", aim=1500),
    ]  # fmt: skip


def main(arguments: Sequence[str] = ()) -> None:
    """Boot in turns, print the table, write bench/out/boot.json, end with a line of JSON."""
    parser = argparse.ArgumentParser(prog="bench.boot", description=__doc__)
    parser.add_argument("--videos", type=int, default=1_000_000)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--topics", action="store_true", help="boot from the topics, too")
    said = parser.parse_args(arguments)
    big = big_catalog(said.videos)
    with engine() as running:
        figures = figures_of(*in_turns(running, big, said.turns), said.videos)
        if said.topics:
            big.produce(running.kafka_settings)
            progress("boot from the topics")
            boot = booted(running, None)
            figures += [
                Figure("boot from the topics, until ready", boot.ready_s, "s"),
                Figure("processor until ready, from the topics", boot.cpu_s, "s"),
                Figure("memory of the worker, from the topics", boot.rss_mb, "MB"),
            ]
    title = f"boot with {said.videos:,} videos"
    report("boot", title, figures, "boot from a snapshot, until ready")


if __name__ == "__main__":
    main(sys.argv[1:])
