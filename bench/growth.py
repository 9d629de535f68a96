"""How the throughput of the user flow grows: people and videos x10, partitions 1 to 16, workers 1 and 2.

Each point folds a topic of its own from its beginning, by the production command, into an empty Redis, as
`bench.throughput` does. One thing is changed at a time; the point in the middle of all rows is
50,000 people, 10,000 videos, 8 partitions, one worker. All points are measured in turn, round after
round; figures are medians. Processor time per event is what the machine's other work disturbs least.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from bench._chart import Panel, draw
from bench._engine import Engine, engine
from bench._events import Crowd, fill, publish
from bench._folding import Cost, fold, median
from bench._report import Figure, progress, report
from contracts.topics import EVENTS, TOPICS
from headrace.environment import read_settings
from streams.topics import create_topics

MUST: Final = 40_000
AIM: Final = 70_000


@dataclass(frozen=True, slots=True)
class Point:
    """One setting of what grows."""

    people: int = 50_000
    videos: int = 10_000
    partitions: int = 8
    workers: int = 1

    @property
    def environ(self) -> dict[str, str]:
        """Topics of its own; points that differ in their workers only share them."""
        return {"HEADRACE_KAFKA__TOPIC_PREFIX": f"{self.people}.{self.videos}.{self.partitions}."}


BASE: Final = Point()
AXES: Final[dict[str, tuple[Point, ...]]] = {
    "people": tuple(replace(BASE, people=n) for n in (5_000, 50_000, 500_000)),
    "partitions": tuple(replace(BASE, partitions=n) for n in (1, 4, 8, 16)),
    "workers": tuple(replace(BASE, workers=n) for n in (1, 2)),
    "videos": tuple(replace(BASE, videos=n) for n in (10_000, 100_000)),
}
LABELS: Final = {
    "people": "people",
    "partitions": "partitions of the topic",
    "workers": "worker processes",
    "videos": "videos in the catalog",
}


def prepare(running: Engine, points: Sequence[Point], events: int) -> None:
    """Topics, videos and events for every point."""
    made = set[str]()
    for point in points:
        prefix = point.environ["HEADRACE_KAFKA__TOPIC_PREFIX"]
        if prefix in made:
            continue
        made.add(prefix)
        progress(f"filling topics {prefix}*")
        kafka = read_settings(running.environ | point.environ).kafka
        topics = [replace(t, partitions=point.partitions) if t is EVENTS else t for t in TOPICS]
        create_topics(kafka, topics)
        crowd = Crowd(point.people, point.videos)
        publish(running, crowd, **point.environ)
        fill(kafka, crowd, events)


def measure(
    running: Engine, points: Sequence[Point], events: int, rounds: int
) -> dict[Point, Cost]:
    """The median of each point."""
    runs: dict[Point, list[Cost]] = {point: [] for point in points}
    progress("warming the broker up")
    fold(running, events, 1, **points[0].environ)
    for turn in range(rounds):
        for point, costs in runs.items():
            progress(f"round {turn + 1} of {rounds}: {point}")
            costs.append(fold(running, events, point.workers, **point.environ))
    return {point: median(costs) for point, costs in runs.items()}


def figures(costs: dict[Point, Cost], axes: dict[str, tuple[Point, ...]]) -> list[Figure]:
    """Rate and processor time of every point, against the middle one."""
    base, out = costs[BASE], []
    for axis, points in axes.items():
        for point in points:
            cost, name = costs[point], f"{LABELS[axis]}: {getattr(point, axis):,}"
            out.append(Figure(name, cost.rate, "events/s", base.rate, "the middle"))
            spent, before = machine_us(cost), machine_us(base)
            out.append(Figure(f"{name}, processor", spent, "us/event", before, "the middle"))
    return out


def machine_us(cost: Cost) -> float:
    """Processor microseconds per event of workers, Redis and broker together."""
    return cost.worker_us + cost.redis_us + cost.broker_us


def panels(costs: dict[Point, Cost], axes: dict[str, tuple[Point, ...]]) -> list[Panel]:
    """Rates in the first row, processor time in the second."""
    rates, spent = [], []
    for axis, points in axes.items():
        at = [float(getattr(point, axis)) for point in points]
        log = "" if axis == "workers" else "x"
        rate = [(x, costs[p].rate) for x, p in zip(at, points, strict=True)]
        bounds = {"must": MUST, "aim": AIM}
        label = LABELS[axis]
        rates.append(Panel(label, label, "events per second", {"folded": rate}, bounds, log, at))
        by = {
            who: [(x, getattr(costs[p], name)) for x, p in zip(at, points, strict=True)]
            for who, name in (
                ("workers", "worker_us"), ("Redis", "redis_us"), ("broker", "broker_us")
            )
        }  # fmt: skip
        spent.append(Panel("", label, "processor time per event, µs", by, {}, log, at))
    return rates + spent


def main(arguments: Sequence[str] = ()) -> None:
    """Fill, measure, print, write, draw."""
    parser = argparse.ArgumentParser(prog="bench.growth", description=__doc__)
    parser.add_argument("--events", type=int, default=300_000, help="of each point")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--axes", default=",".join(AXES), help="what grows, by comma")
    said = parser.parse_args(arguments)
    axes = {name: points for name, points in AXES.items() if name in said.axes.split(",")}
    points = list(dict.fromkeys([BASE, *(point for each in axes.values() for point in each)]))
    with engine() as running:
        prepare(running, points, said.events)
        costs = measure(running, points, said.events, said.rounds)
    title = f"user flow, {said.events:,} events a point, {os.cpu_count()} cores"
    table = figures(costs, axes)
    report("growth", title, table, table[0].what)
    draw("growth", f"How the user flow grows ({title})", panels(costs, axes), len(axes))


if __name__ == "__main__":
    main(sys.argv[1:])
