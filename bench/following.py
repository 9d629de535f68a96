"""What it costs an API worker to follow `video-stats`, and how long another thread waits meanwhile.

Apache Kafka, the production flow of the statistics, and events at a rate over a large catalog. This
process follows what the flow publishes twice, with the code of a worker, interleaved: as a worker does
it (a batch may fill for some time), and each message as soon as it comes, which is the baseline.
Processor time is of the following thread alone; librdkafka's threads, which hold no lock of the
interpreter, are apart from it. Beside it a thread sleeps for a millisecond, over and over: by how much it
oversleeps is how long a feed would have to wait, with the switch interval of a worker. Alone, on this
machine, it oversleeps too: that is the baseline of the wait.
"""

import argparse
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from confluent_kafka import Message

from bench._engine import Engine, engine
from bench._report import Figure, progress, report
from bench._whole import load, stop
from contracts.settings import StatsSettings
from operators.stats_board import StatsBoard
from streams.follower import TopicFollower
from streams.stats_follower import apply_stats

_GATHER_S = 0.2
_SWITCH_S = 0.0005
_NAP_S = 0.001


@dataclass
class Sleeper:
    """How long a thread that wakes up waits for the interpreter. `late_s`: by how much, each time."""

    late_s: list[float] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Until it is over."""
        while not self.over.is_set():
            began = time.perf_counter()
            time.sleep(_NAP_S)
            self.late_s.append(time.perf_counter() - began - _NAP_S)


@dataclass
class Followed:
    """One stretch of following: messages, batches, the thread's seconds, and who waited beside it."""

    messages: int = 0
    batches: int = 0
    cpu_s: float = 0.0
    took_s: float = 0.0
    late_s: list[float] = field(default_factory=list)


def follow(running: Engine, seconds: float, gather_s: float) -> Followed:
    """A follower that has caught up, for so long."""
    out, board, counting = Followed(), StatsBoard(StatsSettings()), threading.Event()
    clock_s = [0.0]

    def apply(_: str, messages: Sequence[Message]) -> None:
        apply_stats(board, messages)
        if counting.is_set():
            out.messages += len(messages)
            out.batches += 1
            out.cpu_s += time.thread_time() - clock_s[0]  # what was spent on fetching, too
        clock_s[0] = time.thread_time()

    kafka = running.kafka_settings
    follower = TopicFollower(kafka, ("video-stats",), apply, gather_s=lambda: gather_s)
    follower.start()
    follower.caught_up.wait(120)
    time.sleep(1)
    counting.set()
    beside(out, seconds)
    counting.clear()
    follower.close()
    return out


def beside(out: Followed, seconds: float) -> Followed:
    """Sleep beside whatever runs, for so long."""
    sleeper, began = Sleeper(), time.perf_counter()
    thread = threading.Thread(target=sleeper.run)
    thread.start()
    time.sleep(seconds)
    sleeper.over.set()
    thread.join()
    out.late_s, out.took_s = sleeper.late_s, time.perf_counter() - began
    return out


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=int, default=2000, help="events a second")
    parser.add_argument("--videos", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each stretch")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args(argv)
    sys.setswitchinterval(_SWITCH_S)
    found: dict[str, list[Followed]] = {"worker": [], "at once": [], "nothing": []}
    with engine() as running:
        running.flow("video-stats")
        options = {"videos": given.videos, "viewers": 20_000, "seconds": 1800, "seed": 3}
        sender = load("events", running.kafka.bootstrap, rate=given.rate, **options)
        time.sleep(15)  # the flow folds, and has flushed a few times
        for turn in range(given.rounds):
            progress(f"round {turn + 1} of {given.rounds}")
            found["worker"].append(follow(running, given.seconds, _GATHER_S))
            found["at once"].append(follow(running, given.seconds, 0.0))
            found["nothing"].append(beside(Followed(), given.seconds))
        stop(sender)
    report("following", "an API worker follows video-stats", figures(found), "us a record")


def figures(found: dict[str, list[Followed]]) -> list[Figure]:
    """Medians over the rounds; waits over all of them together."""
    worker, once = found["worker"], found["at once"]
    rate = [f.messages / f.took_s for f in worker]
    out = [
        Figure("us a record", _us(worker), "us", _us(once), "each message at once", aim=8),
        Figure("records followed", float(np.median(rate)), "1/s"),
        Figure("records a batch", _batch(worker), "", _batch(once), "each message at once"),
        Figure("share of a core", _share(worker), "cores", _share(once), "each message at once"),
    ]
    late = {n: np.concatenate([f.late_s for f in fs]) * 1000 for n, fs in found.items()}
    for q in (99, 99.9, 100):
        value, alone = (float(np.percentile(late[n], q)) for n in ("worker", "nothing"))
        out.append(Figure(f"another thread wakes late, p{q:g}", value, "ms", alone, "alone"))
    return out


def _us(of: Sequence[Followed]) -> float:
    return float(np.median([f.cpu_s / max(f.messages, 1) for f in of])) * 1e6


def _batch(of: Sequence[Followed]) -> float:
    return float(np.median([f.messages / max(f.batches, 1) for f in of]))


def _share(of: Sequence[Followed]) -> float:
    return float(np.median([f.cpu_s / f.took_s for f in of]))


if __name__ == "__main__":
    main()
