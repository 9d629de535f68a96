"""A disk that is full, and files that are damaged: a small tmpfs, where this user may mount one."""

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import redis

from contracts.errors import IndexCorruptError
from contracts.ids import hash64_many
from contracts.settings import IndexSettings
from contracts.videos import Video
from headrace.servers.redis import EmbeddedRedis
from index_updater import snapshot
from index_updater.live_index import LiveIndex
from index_updater.snapshot_files import current
from operators.catalog import Catalog
from tests.faults.conftest import Matrix
from tests.faults.stack import Kafka, stack
from tests.faults.traffic import Feeds, Load, until_fresh
from tests.integration.running import eventually

pytestmark = pytest.mark.faults
DIM = 16
QUICK = IndexSettings(m=8, ef_construction=40, ef_search=100, tail_rows=64)


def _may_mount() -> bool:
    return os.geteuid() == 0 and shutil.which("mount") is not None


small_disk = pytest.mark.skipif(not _may_mount(), reason="only root may mount a small tmpfs")


@contextmanager
def tmpfs(folder: Path, **options: str) -> Iterator[Callable[..., None]]:
    """A file system of its own at `folder`; yields what changes its options."""
    folder.mkdir(parents=True, exist_ok=True)

    def mount(*first: str, **named: str) -> None:
        said = ",".join([*first, *(f"{k}={v}" for k, v in named.items())])
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", said, "tmpfs", str(folder)],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            pytest.skip(f"no tmpfs can be mounted here: {done.stderr.strip()}")

    mount(**options)
    try:
        yield lambda **named: mount("remount", **named)
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=False)


def built(n: int) -> tuple[LiveIndex, Catalog]:
    index, catalog = LiveIndex(DIM, QUICK, capacity=1), Catalog(DIM)
    names = [f"v{i}" for i in range(n)]
    vectors = np.random.default_rng(1).standard_normal((n, DIM)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    catalog.upsert([Video(v, 1_790_000_000_000) for v in names], vectors, [(0, 1)] * n)
    index.upsert(hash64_many(names), vectors)
    while index.maintain():
        pass
    return index, catalog


def fill(folder: Path, leave_bytes: int) -> Path:
    """A file that leaves so much room; it grows if it was there."""
    stat = os.statvfs(folder)
    size = stat.f_bavail * stat.f_frsize - leave_bytes
    with contextlib.suppress(OSError), (folder / "full").open("ab", buffering=0) as filler:
        filler.write(b"x" * max(size, 0))  # others write, too: full is full
    return folder / "full"


@small_disk
@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.9, 0.99])
def test_a_snapshot_that_finds_no_room_fails_and_gives_back_what_it_took(
    tmp_path: Path, share: float
) -> None:
    index, catalog = built(3000)
    with tmpfs(tmp_path / "disk", size="64m"):
        folder = tmp_path / "disk" / "index"
        snapshot.save(folder, index, catalog, {"number": 1})
        where = current(folder)
        assert where is not None
        needed = sum(path.stat().st_size for path in where.iterdir())
        filler = fill(tmp_path / "disk", int(share * needed))
        free = os.statvfs(folder).f_bavail
        for _ in range(3):
            with pytest.raises(OSError, match="bytes left"):
                snapshot.save(folder, index, catalog, {"number": 2})
            assert os.statvfs(folder).f_bavail == free
        again = snapshot.load(folder, QUICK)
        assert again is not None
        assert again.meta == {"number": 1}
        filler.unlink()
        snapshot.save(folder, index, catalog, {"number": 3})
        again = snapshot.load(folder, QUICK)
        assert again is not None
        assert again.meta == {"number": 3}


@small_disk
def test_a_snapshot_whose_pointer_finds_no_room_leaves_the_one_before_current(
    tmp_path: Path,
) -> None:
    index, catalog = built(500)
    with tmpfs(tmp_path / "disk", size="64m", nr_inodes="1000") as remount:
        folder = tmp_path / "disk" / "index"
        snapshot.save(folder, index, catalog, {"number": 1})
        where = current(folder)
        assert where is not None
        files = len(list(where.iterdir()))
        stat = os.statvfs(folder)
        used = stat.f_files - stat.f_ffree
        remount(nr_inodes=str(used + files + 1))  # a folder and its files fit; the pointer does not
        for _ in range(4):
            with pytest.raises(OSError, match="No space"):
                snapshot.save(folder, index, catalog, {"number": 2})
            again = snapshot.load(folder, QUICK)
            assert again is not None
            assert again.meta == {"number": 1}
        remount(nr_inodes="1000")
        snapshot.save(folder, index, catalog, {"number": 3})
        again = snapshot.load(folder, QUICK)
        assert again is not None
        assert again.meta == {"number": 3}


@small_disk
@pytest.mark.slow
@pytest.mark.timeout(400)
def test_with_the_disk_full_under_snapshots_the_api_serves_says_so_and_goes_on_later(
    tmp_path: Path, kafka_factory: Callable[[Path], Kafka], own_redis: EmbeddedRedis, matrix: Matrix
) -> None:
    disk = tmp_path / "disk"
    with (
        tmpfs(disk, size="8m"),
        kafka_factory(tmp_path) as kafka,
        stack(
            kafka, own_redis, tmp_path / "logs", HEADRACE_INDEX__SNAPSHOT_DIR=str(disk / "index"),
            HEADRACE_INDEX__SNAPSHOT_EVERY_S="1",
        ) as engine,
    ):  # fmt: skip

        def snapshots(outcome: str) -> float:
            name = "headrace_index_snapshots_total"
            return engine.metric("api", name, outcome=outcome) or 0.0

        eventually(lambda: snapshots("taken") >= 1, 30, "a snapshot")
        with Feeds(engine.url) as feeds:
            began = time.monotonic()

            def fails() -> bool:  # a snapshot that was under way gives back the one before the last
                fill(disk, 4096)
                return snapshots("failed") >= 2

            eventually(fails, 60, "snapshots to fail")
            assert "no snapshot: " in engine.log_of("api")
            assert engine.ready()[0] == 200
            assert snapshot.load(disk / "index", QUICK) is not None, "the old one is usable"
            (disk / "full").unlink()
            taken, healed = snapshots("taken"), time.monotonic()
            eventually(lambda: snapshots("taken") > taken, 30, "snapshots to go on")
            again_s = time.monotonic() - healed
        assert feeds.failed == []
        assert set(feeds.rungs(began)) == {"full"}
        matrix.row(
            f"disk full {healed - began:.0f} s under snapshots", lost=0, doubled=0,
            unavailable="never", stale=f"the snapshot: the fault + {again_s:.1f} s (taken every 1 s)",
        )  # fmt: skip


@small_disk
@pytest.mark.slow
@pytest.mark.timeout(400)
def test_with_the_disk_full_under_redis_nothing_is_lost_and_the_flow_goes_on_later(
    tmp_path: Path, kafka_factory: Callable[[Path], Kafka], matrix: Matrix
) -> None:
    disk = tmp_path / "disk"
    with (
        tmpfs(disk, size="32m"),
        kafka_factory(tmp_path) as kafka,
        EmbeddedRedis(disk / "redis") as server,
        stack(kafka, server, tmp_path / "logs") as engine,
        redis.Redis.from_url(server.url) as client,
    ):
        with Load(engine.url, "full-disk") as load, Feeds(engine.url) as feeds:
            time.sleep(1.5)
            filler, began = fill(disk, 0), time.monotonic()
            eventually(lambda: _refuses(client), 30, "Redis to refuse writes")
            time.sleep(5.0)
            assert all(p.poll() is None for p in engine.processes), "no flow ended"
            filler.unlink()
            healed = time.monotonic()
            fresh_s = until_fresh(engine.url, "fresh-disk")
        assert feeds.failed == []
        lost, doubled = engine.lost_and_doubled(set(load.accepted), load.users)
        assert (lost, doubled) == (0, 0)
        matrix.row(
            f"disk full {healed - began:.0f} s under Redis' append-only file", lost=lost,
            doubled=doubled, unavailable=f"never: {dict(feeds.rungs(began, healed))}",
            stale=f"the fault + {fresh_s:.1f} s",
        )  # fmt: skip


def _refuses(client: "redis.Redis") -> bool:
    try:
        client.set("probe", "x")
    except redis.ResponseError as e:
        return "MISCONF" in str(e)
    return False


@pytest.mark.slow
def test_a_damaged_snapshot_is_refused_with_the_reason_and_boot_replays_the_topics(
    tmp_path: Path, kafka_factory: Callable[[Path], Kafka], own_redis: EmbeddedRedis, matrix: Matrix
) -> None:
    folder = tmp_path / "index"
    more = {
        "HEADRACE_INDEX__SNAPSHOT_DIR": str(folder),
        "HEADRACE_INDEX__SNAPSHOT_EVERY_S": "1",
    }
    with (
        kafka_factory(tmp_path) as kafka,
        stack(kafka, own_redis, tmp_path / "logs", **more) as engine,
    ):
        eventually(lambda: current(folder) is not None, 30, "a snapshot")
        videos = engine.metric("api", "headrace_index_videos")
        assert videos
        engine.stop_api()
        where = current(folder)
        assert where is not None
        graph = where / "cells.bin"
        data = bytearray(graph.read_bytes())
        data[len(data) // 2] ^= 0x10
        graph.write_bytes(data)
        with pytest.raises(IndexCorruptError, match=r"cells\.bin is not what its manifest says"):
            snapshot.load(folder, QUICK)
        began = time.monotonic()
        engine.serve()
        took_s = time.monotonic() - began
        assert engine.ready() == (200, f"{videos:.0f} videos\n")
        assert "cells.bin is not what its manifest says; replaying" in engine.log_of("api")
        assert engine.metric("api", "headrace_index_snapshots_total", outcome="refused") == 1
        eventually(lambda: _boots(folder), 30, "a new snapshot in its place")
        matrix.row(
            "a bit of the snapshot flipped before a boot", lost=0, doubled=0,
            unavailable=f"the boot, {took_s:.1f} s from the topics", stale="-",
        )  # fmt: skip


def _boots(folder: Path) -> bool:
    try:
        return snapshot.load(folder, QUICK) is not None
    except IndexCorruptError:
        return False
