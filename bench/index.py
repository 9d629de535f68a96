"""The live index: queries beside a writer, inserts while serving, recall under churn, snapshot and boot.

`python -m bench.index --rows 1000000` for the promised size. Vectors are clustered, as videos are.
The baseline is hnswlib itself with the same settings in the same run.
"""

import argparse
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import hnswlib
import numpy as np
import psutil
from numpy.typing import NDArray

from bench._report import Figure, percentiles_ms, progress, report
from contracts.settings import IndexSettings
from index_updater import snapshot
from index_updater.live_index import LiveIndex
from operators.catalog import Catalog

F32 = NDArray[np.float32]
K = 500


class World:
    """Vectors around 2,000 centres; two of a centre have a cosine of about 1 / (1 + spread^2)."""

    def __init__(self, dim: int, spread: float, seed: int = 0) -> None:
        self._rng, self._spread = np.random.default_rng(seed), np.float32(spread)
        self._centres = self._rng.standard_normal((2000, dim)).astype(np.float32)

    def vectors(self, n: int) -> F32:
        """(n, d) float32 of unit length."""
        x = self._centres[self._rng.integers(0, 2000, n)]
        x = x + self._spread * self._rng.standard_normal(x.shape).astype(np.float32)
        out: F32 = x / np.linalg.norm(x, axis=1, keepdims=True)
        return out


def rss_mb() -> float:
    return float(psutil.Process().memory_info().rss / 1e6)


def timed(call: Callable[[], Any]) -> float:
    """Seconds."""
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def build(world: World, rows: int, dim: int) -> tuple[LiveIndex, list[Figure]]:
    """Both graphs from empty, in turns, so that both meet the same neighbours on the machine."""
    bare = hnswlib.Index("ip", dim)
    bare.init_index(rows, M=IndexSettings().m, ef_construction=IndexSettings().ef_construction)
    bare.set_ef(IndexSettings().ef_search)
    index, ours_s, bare_s, size = LiveIndex(dim, IndexSettings()), 0.0, 0.0, 10_000
    batches = [world.vectors(min(size, rows - start)) for start in range(0, rows, size)]
    before = rss_mb()
    for number, batch in enumerate(batches):
        ids = np.arange(number * size, number * size + len(batch))
        ours_s += timed(lambda ids=ids, batch=batch: index.upsert(ids, batch))  # type: ignore[misc]
        progress(f"filling {number * size + len(batch)} of {rows}")
    ours_s += timed(lambda: drained(index))
    used = rss_mb() - before
    for number, batch in enumerate(batches):
        ids = np.arange(number * size, number * size + len(batch))
        bare_s += timed(lambda ids=ids, batch=batch: bare.add_items(batch, ids))  # type: ignore[misc]
        progress(f"hnswlib alone: {number * size + len(batch)} of {rows}")
    queries = world.vectors(400)
    for query in queries[:50]:
        index.search(query, K), bare.knn_query(query, k=K, num_threads=1)
    ours, theirs = [], []
    for query in queries:
        ours.append(timed(lambda q=query: index.search(q, K)))  # type: ignore[misc]
        theirs.append(timed(lambda q=query: bare.knn_query(q, k=K, num_threads=1)))  # type: ignore[misc]
    (p50, p99), (bare_p50, bare_p99) = percentiles_ms(ours), percentiles_ms(theirs)
    less = f"hnswlib, ef {IndexSettings().ef_search}"  # at a lower recall: two rows further down
    asked = world.vectors(50)
    reached, _ = bare.knn_query(asked, k=K, num_threads=1)
    truth = [set(index.search_exact(query, K)[0].tolist()) for query in asked]
    bare_recall = [len(t & set(r.tolist())) / K for t, r in zip(truth, reached, strict=True)]
    return index, [
        Figure("fill from empty", rows / ours_s, "rows/s", rows / bare_s, "hnswlib, sized at once"),
        Figure("memory of the index", used / rows * 1e6, "MB per 1M"),
        Figure(f"query k={K}, p50", p50, "ms", bare_p50, less),
        Figure(f"query k={K}, p99", p99, "ms", bare_p99, less),
        Figure(f"recall@{K}", index.recall(asked, K), "", float(np.mean(bare_recall)), less),
    ]


def drained(index: LiveIndex) -> None:
    while index.maintain():
        pass


class Writer:
    """A thread that upserts batches at a rate (rows a second, 0 as fast as it goes)."""

    def __init__(self, index: LiveIndex, world: World, rows: int, rate: float, batch: int) -> None:
        self._index, self._rows, self._rate, self._batch = index, rows, rate, batch
        self._vectors = world.vectors(20_000)
        self._rng = np.random.default_rng(5)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.written = 0

    def __enter__(self) -> "Writer":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        began = time.perf_counter()
        while not self._stop.is_set():
            ids = self._rng.choice(self._rows, self._batch, replace=self._rows < self._batch)
            at = int(self._rng.integers(0, len(self._vectors) - self._batch))
            self._index.upsert(ids, self._vectors[at : at + self._batch])
            self.written += self._batch
            if self._rate:
                due = began + self.written / self._rate
                self._stop.wait(max(due - time.perf_counter(), 0))


def query_for(index: LiveIndex, world: World, seconds: float, rest_s: float) -> list[float]:
    """Durations of one client's searches."""
    queries = world.vectors(256)
    durations: list[float] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        durations.append(timed(lambda: index.search(queries[len(durations) % 256], K)))
        if rest_s:
            time.sleep(rest_s)
    return durations


def beside_a_writer(
    index: LiveIndex, world: World, rows: int, seconds: float, rate: float
) -> list[Figure]:
    """Queries with and without a writer, in turns; then as many inserts as go while serving."""
    quiet: list[float] = []
    busy: list[float] = []
    ratios = []
    for turn in range(5):
        progress(f"queries with and without a writer, turn {turn + 1} of 5")
        alone = query_for(index, world, seconds / 5, 0.002)
        with Writer(index, world, rows, rate, 1):
            beside = query_for(index, world, seconds / 5, 0.002)
        quiet, busy = quiet + alone, busy + beside
        ratios.append(percentiles_ms(beside)[1] / percentiles_ms(alone)[1])
    (q50, q99), (b50, b99) = percentiles_ms(quiet), percentiles_ms(busy)
    progress("inserting as fast as it goes, with queries")
    with Writer(index, world, rows, 0, 50) as writer:
        query_for(index, world, seconds / 4, 0.01)
        first, began = writer.written, time.perf_counter()
        served = query_for(index, world, seconds, 0.01)
        per_s = (writer.written - first) / (time.perf_counter() - began)
    alone_text = "without a writer"
    return [
        Figure(f"query p50, writer at {rate:.0f}/s", b50, "ms", q50, alone_text),
        Figure(f"query p99, writer at {rate:.0f}/s", b99, "ms", q99, alone_text),
        Figure("the same, median ratio of 5 turns", float(np.median(ratios)), "x"),
        Figure("inserts while serving ~100 queries/s", per_s, "rows/s"),
        Figure("query p99 meanwhile", percentiles_ms(served)[1], "ms", q99, alone_text),
    ]


def churn(index: LiveIndex, world: World, rows: int, rounds: int) -> list[Figure]:
    """A tenth is replaced, over and over; recall is measured right after and a while later."""
    rng, seen, before = np.random.default_rng(9), [], index.rebuilds
    for turn in range(rounds):
        ids = rng.choice(rows, max(rows // 10, 1), replace=False)
        for start in range(0, len(ids), 500):
            part = ids[start : start + 500]
            index.upsert(part, world.vectors(len(part)))
            if start % 20_000 == 0:
                index.search(world.vectors(1)[0], K)
        seen.append(index.recall(world.vectors(30), K))
        progress(f"churn round {turn + 1} of {rounds}: recall {seen[-1]:.4f}")
    return [
        Figure(f"recall@{K}, lowest of {rounds} rounds of 10 % churn", min(seen), ""),
        Figure("rebuilds meanwhile", index.rebuilds - before, ""),
    ]


def boot(index: LiveIndex) -> list[Figure]:
    """A snapshot beside queries, and a boot from it."""
    with tempfile.TemporaryDirectory() as name:
        folder, catalog = Path(name), Catalog(index.dim)
        began = time.perf_counter()
        child = snapshot.start(folder, index, catalog, {})
        pause_s = time.perf_counter() - began
        child.wait()
        took_s = time.perf_counter() - began
        size_mb = sum(p.stat().st_size for p in folder.rglob("*") if p.is_file()) / 1e6
        load_s = timed(lambda: snapshot.load(folder, IndexSettings()))
    return [
        Figure("snapshot: pause of the process", pause_s * 1000, "ms"),
        Figure("snapshot: until on disk", took_s, "s"),
        Figure("snapshot: size (index only)", size_mb, "MB"),
        Figure("boot from it", load_s, "s"),
    ]


def main(arguments: Sequence[str] = ()) -> None:
    """Run all parts, print the table, write bench/out/index.json, end with a line of JSON."""
    parser = argparse.ArgumentParser(prog="bench.index", description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each timed part")
    parser.add_argument("--rate", type=float, default=500.0, help="rows a second of the writer")
    parser.add_argument("--rounds", type=int, default=20, help="of 10 %% churn; 0: none")
    parser.add_argument("--spread", type=float, default=0.5, help="of a cluster; 0.7 is hard")
    said = parser.parse_args(arguments)
    # As the serving process does it: else a query waits up to 5 ms for the GIL that a writer has.
    sys.setswitchinterval(0.0005)
    world = World(said.dim, said.spread)
    index, figures = build(world, said.rows, said.dim)
    index.start()
    figures += beside_a_writer(index, world, said.rows, said.seconds, said.rate)
    if said.rounds:
        figures += churn(index, world, said.rows, said.rounds)
    index.close()
    figures += [*boot(index), Figure("search effort found (ef)", index.effort, "")]
    title = f"live index, {said.rows:,} x {said.dim}, {os.cpu_count()} cores"
    report("index", title, figures, f"query p99, writer at {said.rate:.0f}/s")


if __name__ == "__main__":
    main(sys.argv[1:])
