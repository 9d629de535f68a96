"""Where the user flow's own time goes, one core, without Kafka and Redis: decode, load, fold, store.

Micro-batches of JSON events of 50,000 people (Zipf) about 10,000 known videos, folded into blobs
that a dict holds. Processor time, so that a busy machine changes little. The last rows are a batch
of one hot person. `python -m bench.fold --profile` prints the functions that take the time.
"""

import argparse
import cProfile
import pstats
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from bench._report import Figure, progress, report
from contracts.events import Event, EventType, encode_event
from contracts.settings import ModelSettings, UserSettings
from contracts.user_record import user_dtype
from contracts.videos import Video
from model_runtime import bundles
from operators.blobs import from_blobs, to_blobs
from operators.catalog import Catalog
from operators.derive import derive
from operators.event_columns import RawMessages, decode_events
from operators.offsets import slot_key
from operators.user_fold import UserFold

NOW_MS = 1_790_000_000_000
PEOPLE, VIDEOS = 50_000, 10_000
TYPES: tuple[EventType, ...] = ("click", "watch", "like", "skip")
SHARES = (0.35, 0.45, 0.05, 0.15)
STAGES = ("decode", "load", "fold", "store")


@dataclass
class Stages:
    """Processor seconds by stage, and the events that they were for."""

    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(STAGES, 0.0))
    events: int = 0

    def us(self, stage: str) -> float:
        return self.seconds[stage] / self.events * 1e6


class Flow:
    """The user flow without its servers."""

    def __init__(self) -> None:
        self._bundle = bundles.load(ModelSettings())
        self._dtype = user_dtype(self._bundle.users.hidden, self._bundle.users.dim)
        self._catalog = _catalog(self._bundle.items.dim)
        self._fold = UserFold(self._bundle, self._catalog, UserSettings())
        self._blobs: dict[str, bytes] = {}
        self._offset = 0

    def run(self, batches: Sequence[Sequence[bytes]]) -> Stages:
        """Fold all batches, one after the other."""
        spent = Stages()
        for values in batches:
            self._batch(values, spent)
        return spent

    def _batch(self, values: Sequence[bytes], spent: Stages) -> None:
        n, key = len(values), slot_key(0, "events", 0)
        offsets = np.arange(self._offset, self._offset + n)
        raw = RawMessages(values, (), np.full(n, key), offsets, np.full(n, NOW_MS))
        marks = [time.process_time()]
        columns, _ = decode_events(raw, 300_000)
        marks.append(time.process_time())
        records = from_blobs([self._blobs.get(user) for user in columns.users], self._dtype)
        marks.append(time.process_time())
        derive(records, self._bundle, self._catalog)
        self._fold(records, columns, {key: self._offset}, NOW_MS)
        marks.append(time.process_time())
        self._blobs.update(zip(columns.users, to_blobs(records), strict=True))
        marks.append(time.process_time())
        for stage, a, b in zip(STAGES, marks[:-1], marks[1:], strict=True):
            spent.seconds[stage] += b - a
        spent.events += n
        self._offset += n


def _catalog(dim: int) -> Catalog:
    rng = np.random.default_rng(2)
    videos = [
        Video(f"v{i}", NOW_MS - i, f"clip {i}", category=f"category {i % 20}",
              creator_id=f"c{i % 500}", tags=("a", "b", f"t{i % 200}"), language="de",
              duration_ms=30_000)
        for i in range(VIDEOS)
    ]  # fmt: skip
    vectors = rng.standard_normal((VIDEOS, dim)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    catalog = Catalog(dim)
    catalog.upsert(videos, vectors, [(0, i) for i in range(VIDEOS)])
    return catalog


def events(n: int, people: int, seed: int) -> Iterator[bytes]:
    """`n` events as JSON, person i with a weight of 1 / (i + 20)."""
    rng = np.random.default_rng(seed)
    weight = 1 / (np.arange(people) + 20.0)
    person = np.searchsorted(np.cumsum(weight / weight.sum()), rng.random(n)).clip(0, people - 1)
    video, kind = rng.integers(0, VIDEOS, n), rng.choice(len(TYPES), n, p=SHARES)
    watched = rng.integers(0, 30_000, n)
    for i in range(n):
        name = TYPES[kind[i]]
        yield encode_event(
            Event(f"{seed}-{i}", f"u{person[i]:07d}", name, NOW_MS - n + i, f"v{video[i]}",
                  int(watched[i]) if name == "watch" else None)
        )  # fmt: skip


def batches(n: int, size: int, people: int, seed: int) -> list[list[bytes]]:
    """`n` events in micro-batches."""
    every = list(events(n, people, seed))
    return [every[i : i + size] for i in range(0, n, size)]


def main(arguments: Sequence[str] = ()) -> None:
    """Warm up, measure each size of batch in turns, print, write."""
    parser = argparse.ArgumentParser(prog="bench.fold", description=__doc__)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--profile", action="store_true")
    said = parser.parse_args(arguments)
    flow, sizes, rounds = Flow(), (5000, 500, 50), 3
    flow.run(batches(200_000, 5000, PEOPLE, 1))
    if said.profile:
        work, profile = batches(said.events, 5000, PEOPLE, 2), cProfile.Profile()
        profile.runcall(flow.run, work)
        pstats.Stats(profile).sort_stats("tottime").print_stats(40)
        return
    seen: dict[int, list[Stages]] = {size: [] for size in sizes}
    hot = []
    for turn in range(rounds):
        for size in sizes:
            progress(f"batches of {size}, turn {turn + 1} of {rounds}")
            n = said.events if size > 50 else said.events // 4
            seen[size].append(flow.run(batches(n, size, PEOPLE, 10 * turn + size)))
        hot.append(flow.run(batches(5000, 5000, 1, 77 + turn)))
    figures = [
        Figure(f"{stage}, batches of {size:,}", _median(seen[size], stage), "us/event")
        for size in sizes
        for stage in STAGES
    ]
    figures += [
        Figure(f"all, batches of {size:,}", sum(_median(seen[size], s) for s in STAGES), "us/event")
        for size in sizes
    ]
    figures.append(Figure("fold, 5,000 events of one person", _median(hot, "fold"), "us/event"))
    report("fold", "the user flow's own time", figures, "all, batches of 5,000")


def _median(runs: Sequence[Stages], stage: str) -> float:
    return float(np.median([run.us(stage) for run in runs]))


if __name__ == "__main__":
    main(sys.argv[1:])
