"""Queries beside a writer: never an error, never a removed id, never one twice, never one missing."""

import random
import threading
import time
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from contracts.settings import IndexSettings
from index_updater.live_index import LiveIndex
from index_updater.rwlock import SharedLock

DIM = 8


@pytest.fixture(scope="module", params=["cells", "hnsw"])
def quick(request: pytest.FixtureRequest) -> IndexSettings:
    return IndexSettings(
        structure=request.param, m=8, ef_construction=40, ef_search=200, tail_rows=128
    )


def unit(n: int, seed: int) -> NDArray[np.float32]:
    x = np.random.default_rng(seed).standard_normal((n, DIM))
    out: NDArray[np.float32] = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)
    return out


def beside(write: Callable[[], None], read: Callable[[int], None], readers: int = 2) -> int:
    """Run `write` once with readers in a loop beside it; how often they read."""
    failed, counts, stop = list[BaseException](), [0] * readers, threading.Event()

    def loop(number: int) -> None:
        try:
            while not stop.is_set():
                read(counts[number])
                counts[number] += 1
        except BaseException as e:
            failed.append(e)

    threads = [threading.Thread(target=loop, args=(i,)) for i in range(readers)]
    for thread in threads:
        thread.start()
    try:
        write()
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not failed, failed
    return sum(counts)


def test_readers_beside_churn_and_rebuilds_see_no_removed_and_no_doubled_id(
    quick: IndexSettings,
) -> None:
    index = LiveIndex(DIM, quick, capacity=1)
    index.upsert(np.arange(4000), unit(4000, 1))
    index.start()
    removed: set[int] = set()  # final: these never come back
    queries = unit(64, 7)

    def write() -> None:
        rng, until = random.Random(1), time.monotonic() + 60
        turn, before = 0, index.rebuilds
        while index.rebuilds < before + 2 and time.monotonic() < until:
            turn += 1
            keys = np.array(rng.sample(range(2000, 4000), 20))
            index.upsert(keys, unit(20, 100 + turn))
            gone = [k for k in rng.sample(range(2000), 3) if k not in removed]
            index.remove(np.array(gone, np.int64))
            removed.update(gone)
            time.sleep(0.002)

    def read(turn: int) -> None:
        before = set(removed)
        found, sims = index.search(queries[turn % 64], 300)
        assert len(found) == 300 == len(set(found.tolist()))
        assert not before & set(found.tolist())
        assert (np.diff(sims) <= 0).all()

    try:
        assert beside(write, read) > 100
        assert index.rebuilds >= 2
        assert len(index) == 4000 - len(removed)
    finally:
        index.close()


def test_a_video_that_is_changed_over_and_over_is_in_every_answer_exactly_once(
    quick: IndexSettings,
) -> None:
    index = LiveIndex(DIM, quick, capacity=1)
    index.upsert(np.arange(2000), unit(2000, 1))
    target = unit(1, 50)[0]
    near = np.stack([target + 0.05 * unit(1, s)[0] for s in range(60, 64)])
    index.upsert(np.array([9]), near[:1])
    index.start()

    def write() -> None:
        for turn in range(1500):
            index.upsert(np.array([9]), near[turn % 4][None])
            time.sleep(0.0005)

    def read(_: int) -> None:
        assert index.search(target, 20)[0].tolist().count(9) == 1

    try:
        beside(write, read)
    finally:
        index.close()


def test_several_writers_do_not_lose_each_others_rows(quick: IndexSettings) -> None:
    index = LiveIndex(DIM, quick, capacity=1)
    index.start()

    def write(first: int) -> None:
        for start in range(first, first + 1500, 50):
            index.upsert(np.arange(start, start + 50), unit(50, start))

    threads = [threading.Thread(target=write, args=(first,)) for first in (0, 10_000, 20_000)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    index.close()
    assert len(index) == 4500
    for first in (0, 10_000, 20_000):
        for start in range(first, first + 1500, 250):
            assert index.search(unit(50, start)[7], 1)[0].tolist() == [start + 7]


def test_a_writer_is_alone_and_comes_before_later_readers() -> None:
    lock, inside, wrong = SharedLock(), [0], list[str]()
    written = [0]

    def write() -> None:
        for _ in range(300):
            with lock.alone():
                if inside[0]:
                    wrong.append("reader beside writer")
                written[0] += 1
            time.sleep(0.0001)

    def read(_: int) -> None:
        lock.acquire_shared()
        try:
            inside[0] += 1
            at = written[0]
            time.sleep(0.0001)
            assert written[0] == at
            inside[0] -= 1
        finally:
            lock.release_shared()

    beside(write, read, readers=1)
    assert not wrong
    assert written[0] == 300
