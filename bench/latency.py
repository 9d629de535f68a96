"""From the producer's clock to the moment in which the blob that holds the event can be read.

Beside a steady load of events (a process of its own, 50,000 people by Zipf) a prober produces a hundred
events a second, each of a person of its own, and asks Redis about every millisecond which of those
people's blobs are there. It counts from before its call of produce to the answer that says so: its own
polling, the producer's linger (2 ms) and everything between are in the figure. The same clock measures both
ends. The first seconds of each load are left out.

The flow's own histogram (`headrace_event_to_state_seconds`, of all events) stands beside it, to be
checked by it: its ends are in whole milliseconds and its quantiles are interpolated within a bucket.
"""

import argparse
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from confluent_kafka import Producer
from redis import Redis

from bench._engine import Engine, engine, until
from bench._events import Crowd, event, fill, moved, publish
from bench._folding import scraped
from bench._pace import paced
from bench._report import Figure, percentiles_ms, progress, report
from contracts.topics import EVENTS
from headrace.dashboard.histograms import Scrape, buckets, quantile, since, total
from headrace.servers.process import free_port
from streams.kafka import producer_config
from streams.user_flow import FLOW

_PER_S: Final = 100
_LOOK_S: Final = 0.001
_GIVE_UP_S: Final = 60.0
_FIRST_PERSON: Final = 5_000_000  # nobody of the crowd
_HISTOGRAM: Final = "headrace_event_to_state_seconds"


@dataclass
class Prober:
    """Produces events of people that nobody else touches, and looks for their blobs."""

    running: Engine
    client: Redis
    person: int = _FIRST_PERSON
    waiting: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        kafka = self.running.kafka_settings
        self._producer = Producer(producer_config(kafka))
        self._topic = kafka.topic_prefix + EVENTS.name

    def run(self, seconds: float) -> list[tuple[float, float]]:
        """(seconds since the start, seconds until readable) of each event of the prober.

        Raises:
            TimeoutError: a blob did not come.
        """
        began, sent, out = time.perf_counter(), 0, list[tuple[float, float]]()
        while (now := time.perf_counter()) < began + seconds or self.waiting:
            if now - began < seconds and sent < (now - began) * _PER_S:
                self._send()
                sent += 1
            out += [(at - began, took) for at, took in self._look()]
            if now > began + seconds + _GIVE_UP_S:
                raise TimeoutError(f"{len(self.waiting)} blobs are not there after a minute")
            time.sleep(_LOOK_S)
        return out

    def _send(self) -> None:
        self.person += 1
        value = event(self.person, self.person, self.person % 1000, 0, 0, int(time.time() * 1000))
        user = f"u{self.person:07d}"
        self.waiting[self.running.keys.user(user)] = time.perf_counter()
        self._producer.produce(self._topic, value, user.encode())
        self._producer.poll(0)

    def _look(self) -> list[tuple[float, float]]:
        if not self.waiting:
            return []
        pipe = self.client.pipeline(transaction=False)
        for key in self.waiting:
            pipe.exists(key)
        there, now = pipe.execute(), time.perf_counter()
        found = [key for key, is_there in zip(self.waiting, there, strict=True) if is_there]
        return [(at, now - at) for at in map(self.waiting.pop, found)]


@dataclass(frozen=True)
class Seen:
    """One round at one rate. `took` in seconds."""

    took: list[float]
    own: Scrape
    load: dict[str, Any]


def at_rate(running: Engine, rate: float, seconds: float, warm_s: float, port: int) -> Seen:
    """Load and prober together; what the prober saw after `warm_s`."""
    crowd = Crowd()
    with running.client() as client, paced(running, rate, seconds + warm_s, crowd) as load:
        prober = Prober(running, client)
        prober.person = client.incrby("bench:people", 100_000) + _FIRST_PERSON
        prober.run(warm_s)
        before = scraped(port)
        took = [t for _, t in prober.run(seconds)]
        own = since(scraped(port), before)
    return Seen(took, own, load)


def figures(rate: float, rounds: Sequence[Seen]) -> list[Figure]:
    """Quantiles over the rounds together, and how many events a batch had."""
    p50, p99 = percentiles_ms([t for seen in rounds for t in seen.took])
    own = buckets([seen.own for seen in rounds], _HISTOGRAM)
    batches = total(
        [s.own for s in rounds], "headrace_batch_seconds_count", flow=FLOW, phase="write"
    )
    events = total([s.own for s in rounds], "headrace_events_total")
    name, flow = f"at {rate:,.0f}/s", "the flow's own histogram"
    own_ms = [1000 * (quantile(own, q) or 0.0) for q in (0.5, 0.99)]
    return [
        Figure(f"produced -> readable, p50, {name}", p50, "ms", own_ms[0], flow, aim=15),
        Figure(f"produced -> readable, p99, {name}", p99, "ms", own_ms[1], flow, 200, 50),
        Figure(f"slowest, {name}", 1000 * max(t for s in rounds for t in s.took), "ms"),
        Figure(f"events a batch, {name}", events / max(batches, 1), "events"),
        Figure(f"sent, {name}", min(s.load["per_s"] for s in rounds), "events/s", rate, "wanted"),
        Figure(f"producer late by at most, {name}", max(s.load["latest_ms"] for s in rounds), "ms"),
    ]


def main(arguments: Sequence[str] = ()) -> None:
    """Warm up, measure each rate in turns, print, write."""
    parser = argparse.ArgumentParser(prog="bench.latency", description=__doc__)
    parser.add_argument("--rates", default="5000,20000", help="events a second, by comma")
    parser.add_argument("--seconds", type=float, default=20.0, help="of each round")
    parser.add_argument("--warm", type=float, default=4.0, help="seconds left out before it")
    parser.add_argument("--broker", type=float, default=30.0, help="seconds that warm it up")
    parser.add_argument("--rounds", type=int, default=3)
    said = parser.parse_args(arguments)
    rates, port = [float(rate) for rate in said.rates.split(",")], free_port()
    seen: dict[float, list[Seen]] = {rate: [] for rate in rates}
    with engine() as running, running.client() as client:
        crowd = Crowd()
        publish(running, crowd)
        n = fill(running.kafka_settings, crowd, 100_000)  # so that most people have a blob
        flow = running.flow(FLOW, HEADRACE_METRICS__PORT=str(port))
        key = running.keys.positions(FLOW)
        until(lambda: moved(client, key, EVENTS.name) >= n, 300, "the warm-up", flow)
        progress("a while at full speed: the broker's compiler takes a core for its first 20 s")
        at_rate(running, max(rates), 1.0, said.broker, port)
        for turn in range(said.rounds):
            for rate, rounds in seen.items():
                progress(f"{rate:,.0f}/s, round {turn + 1} of {said.rounds}")
                rounds.append(at_rate(running, rate, said.seconds, said.warm, port))
    table = [figure for rate, rounds in seen.items() for figure in figures(rate, rounds)]
    title = f"event to readable state, {said.rounds} x {said.seconds:.0f} s, {os.cpu_count()} cores"
    report("latency", title, table, f"produced -> readable, p99, at {rates[0]:,.0f}/s")


if __name__ == "__main__":
    main(sys.argv[1:])
