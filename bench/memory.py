"""Memory: what a person costs in Redis after 10, 100 and 1,000 events, and what each process holds.

Groups of people get their events in turns, on Apache Kafka; the production flow folds them. A person's
cost is told twice: MEMORY USAGE of a sample of keys (the key, the blob and the allocator's rounding), and
how far used_memory grew, over the people, with no flow connected, so that no buffer of a connection is
counted. Then every flow and one serving process are run over all those events and a catalog of `--videos`,
and their resident sizes are read; a million videos in a serving process are measured elsewhere.
"""

import argparse
import os
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, cast

import psutil
from redis import Redis

from bench._engine import Engine, engine, until
from bench._events import TYPES, Crowd, Keyed, event, moved, publish, send
from bench._report import Figure, progress, report
from contracts.topics import EVENTS
from streams.positions import Stored
from streams.stats_flow import FLOW as STATS
from streams.user_flow import FLOW as USERS

_SAMPLE: Final = 200
_SETTLE_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class Group:
    """People with the same number of events each; `first` is the number of the first of them."""

    first: int
    people: int
    each: int

    def events(self, videos: int) -> Iterator[Keyed]:
        """All their events, one of each person in turn, a minute apart."""
        begin_ms = int(time.time() * 1000) - self.each * 60_000
        for turn in range(self.each):
            for i in range(self.people):
                number = turn * self.people + i
                person, kind = self.first + i, number % len(TYPES)
                video = (turn * 7919 + i) % videos
                stamp = begin_ms + turn * 60_000
                value = event(
                    person << 64 | number, person, video, kind, 1000 * turn % 30_000, stamp
                )
                yield b"u%07d" % person, value


def told(client: Redis, section: str, name: str) -> int:
    """A number of INFO."""
    return int(cast(dict[str, int], client.info(section))[name])


def per_person(running: Engine, client: Redis, group: Group, videos: int) -> tuple[float, float]:
    """(bytes of a key, growth of used_memory over the people)."""
    before = told(client, "memory", "used_memory")
    key = running.keys.positions(USERS)
    done = moved(client, key, EVENTS.name)
    done += send(running.kafka_settings, EVENTS.name, group.events(videos))
    flow = running.flow(USERS)
    until(lambda: moved(client, key, EVENTS.name) >= done, 900, "the user flow", flow)
    running.stop(USERS)
    time.sleep(_SETTLE_S)  # the closed connection's buffers go
    grown = told(client, "memory", "used_memory") - before
    sample = range(group.first, group.first + group.people, max(group.people // _SAMPLE, 1))
    keys = [running.keys.user(f"u{person:07d}") for person in sample]
    sizes = [cast(int, client.memory_usage(key, samples=0)) for key in keys]
    return statistics.mean(sizes), grown / group.people


def processes(running: Engine, client: Redis, events: int, videos: int) -> list[Figure]:
    """Resident size of every process of the engine, once it has read everything."""
    users = running.flow(USERS)
    stats = running.flow(STATS)
    vectors = running.flow("video-vectors")
    running.serve()

    def counted() -> int:
        raw = [client.hget(running.keys.stats(f"{EVENTS.name}:{p}"), "position")
               for p in range(EVENTS.partitions)]  # fmt: skip
        return sum(Stored.parse(cast(bytes, value)).offset for value in raw if value is not None)

    until(lambda: counted() >= events, 900, "the statistics", stats)
    time.sleep(_SETTLE_S)
    api = psutil.Process(running.processes["api"].pid)
    named = {
        "user flow": [psutil.Process(users.pid)],
        "statistics flow": [psutil.Process(stats.pid)],
        "vector flow": [psutil.Process(vectors.pid)],
        "serve, supervisor": [api],
        "serve, worker": api.children(recursive=True),
    }
    return [
        Figure(f"{name}, {videos:,} videos", max(p.memory_info().rss for p in each) / 1e6, "MB RSS")
        for name, each in named.items()
        if each
    ]


def main(arguments: Sequence[str] = ()) -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(prog="bench.memory", description=__doc__)
    parser.add_argument("--videos", type=int, default=10_000)
    parser.add_argument("--scale", type=float, default=1.0, help="of the numbers of people")
    said = parser.parse_args(arguments)
    plan, first = ((10, 5000), (100, 2000), (1000, 500)), 0
    table, events = list[Figure](), 0
    with engine() as running, running.client() as client:
        publish(running, Crowd(videos=said.videos))
        for each, people in plan:
            group = Group(first, max(int(people * said.scale), 1), each)
            progress(f"{group.people:,} people with {each:,} events each")
            key, grown = per_person(running, client, group, said.videos)
            first, events = first + group.people, events + group.people * each
            what = f"Redis, a person after {each:,} events"
            table.append(Figure(f"{what}: the key", key, "bytes", must=6000, aim=3000))
            table.append(Figure(f"{what}: used_memory", grown, "bytes", must=6000, aim=3000))
        progress("every process at once")
        table += processes(running, client, events, said.videos)
    title = f"memory, {events:,} events of {first:,} people, {os.cpu_count()} cores"
    report("memory", title, table, "Redis, a person after 1,000 events: the key")


if __name__ == "__main__":
    main(sys.argv[1:])
