"""The live index: queries beside a writer, inserts while serving, recall under churn, rebuild, snapshot.

`python -m bench.index --rows 1000000` for the promised size. The vectors are those that the shipped
bundle makes (`--spread 0.5`: around centres instead; 0.7 is hard). The baseline is hnswlib itself
with the same settings in the same run. While a tenth is replaced over and over (in place and as
removals and publications, in turns) the recall is measured ten times a round, on queries drawn apart
from what the search effort is tuned by.
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
from threadpoolctl import threadpool_limits

from bench._report import Figure, percentiles_ms, progress, report
from bench._vectors import Clusters, Day0, Vectors, asked
from contracts.settings import IndexSettings
from index_updater import snapshot
from index_updater.generation import capacity_for
from index_updater.live_index import LiveIndex
from operators.catalog import Catalog

K = 500
PROBED = 16  # queries of each kind, of one look


def rss_mb() -> float:
    return float(psutil.Process().memory_info().rss / 1e6)


def timed(call: Callable[[], Any]) -> float:
    """Seconds."""
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def build(
    world: Vectors, rows: int, settings: IndexSettings, bare_rows: int
) -> tuple[LiveIndex, list[Figure]]:
    """Both from empty, sized at once; hnswlib alone with the first `bare_rows`."""
    bare = hnswlib.Index("ip", world.dim)
    bare.init_index(bare_rows, M=settings.m, ef_construction=settings.ef_construction)
    bare.set_ef(settings.ef_search)
    index = LiveIndex(world.dim, settings, capacity_for(rows))
    ours_s, bare_s, size = 0.0, 0.0, 10_000
    batches = [world.draw(min(size, rows - start)) for start in range(0, rows, size)]
    before = rss_mb()
    for number, batch in enumerate(batches):
        ids = np.arange(number * size, number * size + len(batch))
        ours_s += timed(lambda ids=ids, batch=batch: index.upsert(ids, batch))  # type: ignore[misc]
        progress(f"filling {number * size + len(batch)} of {rows}")
    ours_s += timed(lambda: drained(index))
    used = rss_mb() - before
    for number, batch in enumerate(batches[: -(-bare_rows // size)]):
        part = batch[: bare_rows - number * size]
        ids = np.arange(number * size, number * size + len(part))
        bare_s += timed(lambda ids=ids, part=part: bare.add_items(part, ids))  # type: ignore[misc]
        progress(f"hnswlib alone: {number * size + len(part)} of {bare_rows}")
    alone = f"hnswlib alone, {bare_rows:,} rows"
    return index, [
        Figure("fill from empty", rows / ours_s, "rows/s", bare_rows / bare_s, alone, more=True),
        Figure("memory of the index", used / rows * 1e6, "MB per 1M"),
        *searched(index, bare, bare_rows == rows, world),
    ]


def searched(index: LiveIndex, bare: Any, same: bool, world: Vectors) -> list[Figure]:
    """Time and recall of searches by viewers' vectors, in turns with hnswlib alone."""
    queries = asked(world, 200)["mixed"]
    for query in queries[:50]:
        index.search(query, K), bare.knn_query(query, k=K, num_threads=1)
    ours, theirs = [], []
    for query in queries:
        ours.append(timed(lambda q=query: index.search(q, K)))  # type: ignore[misc]
        theirs.append(timed(lambda q=query: bare.knn_query(q, k=K, num_threads=1)))  # type: ignore[misc]
    (p50, p99), (bare_p50, bare_p99) = percentiles_ms(ours), percentiles_ms(theirs)
    less = f"hnswlib, ef {IndexSettings().ef_search}"  # at a lower recall: the row below
    found: float | None = None
    if same:
        reached, _ = bare.knn_query(queries[:40], k=K, num_threads=1)
        truth = [set(index.search_exact(query, K)[0].tolist()) for query in queries[:40]]
        shares = [len(t & set(r.tolist())) / K for t, r in zip(truth, reached, strict=True)]
        found = float(np.mean(shares))
    share = float(index.shares(queries, K).mean())
    return [
        Figure(f"query k={K}, p50", p50, "ms", bare_p50, less),
        Figure(f"query k={K}, p99", p99, "ms", bare_p99, less),
        Figure(f"recall@{K}", share, "", found, less, 0.98, 0.99, more=True),
    ]


def drained(index: LiveIndex) -> None:
    while index.maintain():
        pass


class Writer:
    """A thread that upserts batches at a rate (rows a second, 0 as fast as it goes)."""

    def __init__(
        self, index: LiveIndex, world: Vectors, rows: int, rate: float, batch: int
    ) -> None:
        self._index, self._rows, self._rate, self._batch = index, rows, rate, batch
        self._vectors = world.draw(20_000)
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


def query_for(index: LiveIndex, world: Vectors, seconds: float, rest_s: float) -> list[float]:
    """Durations of one client's searches."""
    queries = world.draw(256)
    durations: list[float] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        durations.append(timed(lambda: index.search(queries[len(durations) % 256], K)))
        if rest_s:
            time.sleep(rest_s)
    return durations


def beside_a_writer(
    index: LiveIndex, world: Vectors, rows: int, seconds: float, rate: float
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
        Figure("the same, median ratio of 5 turns", float(np.median(ratios)), "x", must=2, aim=1.3),
        Figure("inserts while serving ~100/s", per_s, "rows/s", must=1000, aim=3000, more=True),
        Figure("query p99 meanwhile", percentiles_ms(served)[1], "ms", q99, alone_text),
    ]


class Churn:
    """A tenth replaced over and over, and what is found meanwhile."""

    def __init__(self, index: LiveIndex, world: Vectors, held_out: Vectors, rows: int) -> None:
        self._index, self._world, self._held_out = index, world, held_out
        self._rng, self._live, self._next = np.random.default_rng(9), np.arange(rows), rows
        self.seen: list[dict[str, float]] = []

    def round(self, in_place: bool) -> None:
        """Replace a tenth in ten steps, with a look after each."""
        self._rng.shuffle(self._live)
        step = max(len(self._live) // 100, 1)
        for start in range(0, 10 * step, step):
            for at in range(start, start + step, 500):
                part = slice(at, min(at + 500, start + step))
                if not in_place:
                    self._index.remove(self._live[part])
                    self._live[part] = np.arange(self._next, self._next + part.stop - at)
                    self._next += part.stop - at
                self._index.upsert(self._live[part], self._world.draw(part.stop - at))
            self.look()

    def look(self) -> None:
        """Recall of this moment; the index learns nothing from it, but that somebody searches."""
        kinds = asked(self._held_out, PROBED)
        self.seen.append(
            {kind: float(self._index.shares(queries, K).mean()) for kind, queries in kinds.items()}
        )
        self._index.search(kinds["new"][0], K)


def churned(churn: Churn, index: LiveIndex, rounds: int, minutes: float) -> list[Figure]:
    """So many rounds, or as many as the minutes allow."""
    before, until, done = index.rebuilds, time.monotonic() + 60 * minutes, 0
    while done < rounds and time.monotonic() < until:
        churn.round(in_place=done % 2 == 0)
        done += 1
        lowest = min(min(look.values()) for look in churn.seen)
        progress(f"churn round {done} of {rounds}: lowest recall {lowest:.4f}")
    figures = []
    for kind in churn.seen[0]:
        values = [look[kind] for look in churn.seen]
        what = f"recall@{K} under churn, lowest of {len(values)} looks: {kind}"
        mean = float(np.mean(values))
        figures.append(Figure(what, min(values), "", mean, "mean", 0.98, 0.99, more=True))
    rebuilds = Figure(f"rebuilds in {done} rounds", index.rebuilds - before, "")
    return [*figures, rebuilds]


def rebuilt(index: LiveIndex, world: Vectors) -> list[Figure]:
    """Queries while the index is made anew beside them, since more than a quarter died."""
    quiet = percentiles_ms(query_for(index, world, 5, 0.002))
    before, rss, ids = index.rebuilds, rss_mb(), index.ids()
    index.remove(ids[: 3 * len(ids) // 10])
    began, durations, most = time.perf_counter(), list[float](), rss
    while index.rebuilds == before and time.perf_counter() - began < 600:
        durations += query_for(index, world, 0.5, 0.002)
        most = max(most, rss_mb())
    took_s = time.perf_counter() - began
    against = "before"
    return [
        Figure("rebuild and swap", took_s, "s"),
        Figure(
            "query p99 meanwhile (rebuild)", percentiles_ms(durations)[1], "ms", quiet[1], against
        ),
        Figure("memory meanwhile", most, "MB", rss, against),
    ]


def boot(index: LiveIndex, settings: IndexSettings) -> list[Figure]:
    """A snapshot beside queries, and a boot from it."""
    with tempfile.TemporaryDirectory() as name:
        folder, catalog = Path(name), Catalog(index.dim)
        began = time.perf_counter()
        child = snapshot.start(folder, index, catalog, {})
        pause_s = time.perf_counter() - began
        child.wait()
        took_s = time.perf_counter() - began
        size_mb = sum(p.stat().st_size for p in folder.rglob("*") if p.is_file()) / 1e6
        load_s = timed(lambda: snapshot.load(folder, settings))
    return [
        Figure("snapshot: pause of the process", pause_s * 1000, "ms"),
        Figure("snapshot: until on disk", took_s, "s"),
        Figure("snapshot: size (index only)", size_mb, "MB"),
        Figure("boot from it", load_s, "s"),
    ]


def main(arguments: Sequence[str] = ()) -> None:
    """Run all parts, print the table, write bench/out/index.json, end with a line of JSON."""
    threadpool_limits(1, "blas")  # as in a serving process: a snapshot's fork ends the others
    parser = argparse.ArgumentParser(prog="bench.index", description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--structure", default=IndexSettings().structure)
    parser.add_argument("--spread", type=float, help="clusters of this spread, not the bundle's")
    parser.add_argument(
        "--bare-rows", type=int, help="of hnswlib alone; as many as ours unless said"
    )
    parser.add_argument("--seconds", type=float, default=10.0, help="of each timed part")
    parser.add_argument("--rate", type=float, default=500.0, help="rows a second of the writer")
    parser.add_argument("--rounds", type=int, default=20, help="of 10 %% churn; 0: none")
    parser.add_argument("--churn-minutes", type=float, default=4.0, help="at most")
    said = parser.parse_args(arguments)
    # As the serving process does it: else a query waits up to 5 ms for the GIL that a writer has.
    sys.setswitchinterval(0.0005)
    settings, rows = IndexSettings(structure=said.structure), said.rows
    fresh = rows + rows * (said.rounds + 1) // 10 + 150_000
    probes = fresh + 12 * PROBED * (10 * said.rounds + 1)
    world: Vectors = Day0(0, fresh)
    held_out: Vectors = Day0(fresh, probes)
    if said.spread:
        world, held_out = Clusters(said.spread, 1), Clusters(said.spread, 2)
    index, figures = build(world, rows, settings, min(said.bare_rows or rows, rows))
    index.start()
    figures += beside_a_writer(index, world, rows, said.seconds, said.rate)
    if said.rounds:
        churn = Churn(index, world, held_out, rows)
        figures += churned(churn, index, said.rounds, said.churn_minutes)
    figures += [Figure("search effort found (ef)", index.effort, ""), *rebuilt(index, world)]
    index.close()
    figures += boot(index, settings)
    title = f"live index ({said.structure}), {rows:,} x {world.dim}, {os.cpu_count()} cores"
    report("index", title, figures, f"query p99, writer at {said.rate:.0f}/s")


if __name__ == "__main__":
    main(sys.argv[1:])
