"""Load generators, each a process of its own: `python -m bench._load events|videos|feeds OPTIONS`.

They share the machine with what they load, so they are cheap: drawn ahead, no client library on the
path of a feed. Each runs for a bounded time, and ends with one line of JSON: what it did, the seconds
of processor that it took, and whether it kept its rate.
"""

import argparse
import json
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
from confluent_kafka import Producer
from msgspec.structs import replace
from numpy.typing import NDArray

from bench._catalog import World, video_id
from bench._feeds import Asked, closed_loop, open_loop
from contracts.settings import KafkaSettings
from contracts.videos import encode_video
from streams.kafka import producer_config

_KINDS: Final = (
    ("watch", 0.7), ("click", 0.15), ("like", 0.08), ("skip", 0.07),
)  # fmt: skip
COUNTRIES: Final = ("US", "DE", "BR", "IN")
_TASTES: Final = 3
_DRAWN: Final = 8192


@dataclass(frozen=True)
class Viewers:
    """Who watches what: three categories a viewer, in each the first videos most.

    Attributes:
        n: viewers; equally active.
    """

    world: World
    n: int

    @cached_property
    def _of_category(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        order = np.argsort(self.world.categories, kind="stable")
        return order, np.bincount(self.world.categories, minlength=self.world.categories.max() + 1)

    def draw(self, rng: np.random.Generator, size: int) -> list[tuple[int, int, str, int]]:
        """(viewer, video, type of event, milliseconds watched) of `size` events."""
        order, counts = self._of_category
        viewers = rng.integers(0, self.n, size)
        taste = (viewers * 7919 + rng.integers(0, _TASTES, size) * 104_729) % self.world.n
        category = self.world.categories[taste]
        category = np.where(rng.random(size) < 0.2, rng.integers(0, len(counts), size), category)
        starts = np.cumsum(counts) - counts
        videos = order[starts[category] + (counts[category] * rng.random(size) ** 4).astype(int)]
        kinds = rng.choice(len(_KINDS), size, p=[share for _, share in _KINDS])
        watched = rng.integers(1000, 60_000, size)
        names = [_KINDS[k][0] for k in kinds.tolist()]
        return list(zip(viewers.tolist(), videos.tolist(), names, watched.tolist(), strict=True))


def events(viewers: Viewers, seed: int) -> Iterator[tuple[bytes, bytes]]:
    """Key and JSON of one event after the other, stamped when it is asked for."""
    rng, number = np.random.default_rng(seed), 0
    while True:
        for viewer, video, kind, watched in viewers.draw(rng, _DRAWN):
            number += 1
            user = f"u_{viewer}"
            more = f',"watch_ms":{watched},"duration_ms":60000' if kind == "watch" else ""
            yield (
                user.encode(),
                f'{{"event_id":"{seed}-{number}","user_id":"{user}","video_id":"{video_id(video)}",'
                f'"event_type":"{kind}","timestamp":{time.time_ns() // 1_000_000}{more},'
                f'"context":{{"country":"{COUNTRIES[viewer % 4]}"}}}}'.encode(),
            )


def new_videos(world: World, seed: int) -> Iterator[tuple[bytes, bytes]]:
    """Key and JSON of one video after the other that is not in the catalog yet, published now."""
    number = 0
    while True:
        for like in world.videos(seed * 100 % world.n, seed * 100 % world.n + 1000):
            number += 1
            name, now_ms = f"n_{seed}_{number:07d}", time.time_ns() // 1_000_000
            yield name.encode(), encode_video(replace(like, video_id=name, published_at=now_ms))


@dataclass
class Sent:
    """What a producer did. `late_s`: the longest that a message was behind its time."""

    sent: int = 0
    per_s: float = 0.0
    late_s: float = 0.0
    failed: int = 0
    cpu_s: float = 0.0
    took_s: float = 0.0


def produce(
    bootstrap: str,
    topic: str,
    messages: Iterator[tuple[bytes, bytes]],
    rate: float | None,
    seconds: float,
    stopped: Callable[[], bool],
) -> Sent:
    """`rate` messages a second for so long; without a rate so many, as fast as they are taken."""
    producer = Producer(producer_config(KafkaSettings(bootstrap=bootstrap), linger_ms=5))
    done, count = Sent(), int(seconds) if rate is None else int(rate * seconds)

    def acked(error: Any, message: Any) -> None:
        done.failed += error is not None

    began = time.perf_counter()
    while done.sent < count and not stopped():
        due = min(count, int((time.perf_counter() - began) * rate) + 1) if rate else count
        for _ in range(min(due - done.sent, 5000)):
            key, value = next(messages)
            while True:
                try:
                    producer.produce(topic, value, key, on_delivery=acked)
                    break
                except BufferError:
                    producer.poll(0.05)
            done.sent += 1
        producer.poll(0)
        behind = time.perf_counter() - began - done.sent / rate if rate else 0.0
        done.late_s = max(done.late_s, behind)
        time.sleep(max(min(0.004, -behind), 0.002) if rate else 0)
    while rate == 0 and not stopped() and time.perf_counter() < began + seconds:
        time.sleep(0.1)
    done.failed += producer.flush(30)
    done.took_s = time.perf_counter() - began
    done.per_s = done.sent / done.took_s
    return done


def feeds(said: argparse.Namespace, stopped: Callable[[], bool]) -> Asked:
    """Feeds at a rate (open loop), or as fast as they come (closed loop)."""
    rng = np.random.default_rng(said.seed)
    asked = [
        f"/v1/recommendations/feed?user_id=u_{u}&limit={said.limit}&language=en"
        f"&country={COUNTRIES[u % 4]}"
        for u in rng.integers(0, said.viewers, _DRAWN).tolist()
    ]
    if said.rate is None:
        return closed_loop(said.at, asked, said.seconds, said.connections)
    return open_loop(said.at, asked, said.rate, said.seconds, said.connections, said.seed, stopped)


def topic(said: argparse.Namespace, stopped: Callable[[], bool]) -> Sent:
    """Events, or videos that are new."""
    world = World(said.videos, time.time_ns() // 1_000_000)
    made = (
        events(Viewers(world, said.viewers), said.seed)
        if said.what == "events"
        else new_videos(world, said.seed)
    )
    return produce(said.at, said.what, made, said.rate, said.seconds, stopped)


def main(arguments: Sequence[str]) -> None:
    """Run one generator; SIGTERM ends it in order."""
    parser = argparse.ArgumentParser(prog="bench._load", description=__doc__)
    parser.add_argument("what", choices=["events", "videos", "feeds"])
    parser.add_argument("--at", required=True, help="address of Kafka, or of the API")
    parser.add_argument(
        "--rate", type=float, help="a second, 0: none; left out: as fast as it goes"
    )
    parser.add_argument(
        "--seconds", type=float, default=10.0, help="without a rate, of a topic: how many"
    )
    parser.add_argument("--videos", type=int, default=1_000_000, help="size of the catalog")
    parser.add_argument("--viewers", type=int, default=5000)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--limit", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    said = parser.parse_args(arguments)
    ended: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: ended.append(number))
    started_s = time.process_time()
    done = (feeds if said.what == "feeds" else topic)(said, lambda: bool(ended))
    done.cpu_s = time.process_time() - started_s
    print(json.dumps(asdict(done)), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
