"""A big catalog for benchmarks: made once by the engine's own parts, cached, put before an engine.

The videos are words, labels and numbers drawn from skewed distributions; their vectors are those of
the bundle's item tower, so they cluster as the shipped bundle makes them cluster. A catalog is cached
under bench/out/cache (or `HEADRACE_BENCH_CACHE`), by its size and by what its content depends on;
delete the folder after a change to the item tower or to how the graph is built.
"""

import fcntl
import json
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
import xxhash
from confluent_kafka import Consumer, TopicPartition
from numpy.typing import NDArray

from bench._report import OUT, progress
from contracts.ids import hash64_many
from contracts.models import F32, Bundle
from contracts.settings import IndexSettings, KafkaSettings, ModelSettings
from contracts.topics import VIDEO_VECTORS
from contracts.units import DAY_MS
from contracts.videos import Video, VideoVector, encode_vector
from index_updater import snapshot
from index_updater.generation import capacity_for
from index_updater.live_index import LiveIndex
from index_updater.snapshot_files import LAYOUT, current, next_name, publish, write_pieces
from model_runtime import bundles
from operators.catalog import Catalog
from streams.kafka import Publisher, client_config
from streams.topics import admin, describe

_DRAW: Final = 1  # another number for every change of what is drawn below
CATEGORIES: Final = 120
LANGUAGES: Final = ("en", "en", "en", "en", "de", "es", "pt", "hi")
_CHUNK: Final = 10_000
_SOURCE: Final = VIDEO_VECTORS.name
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class World:
    """What the n videos are: the same for the same n.

    Attributes:
        made_ms: the newest video was published then.
    """

    n: int
    made_ms: int

    @cached_property
    def categories(self) -> Ints:
        """(n,) int64 in [0, CATEGORIES); a few hold most videos."""
        weights = 1.0 / (np.arange(CATEGORIES) + 5)
        draw = np.random.default_rng(1).random(self.n)
        return np.searchsorted(np.cumsum(weights / weights.sum()), draw).clip(0, CATEGORIES - 1)

    @cached_property
    def creators(self) -> Ints:
        """(n,) int64; about 50 videos each, of one category, some much busier than others."""
        ranks = max(self.n // 50 // CATEGORIES, 1)
        busy = (ranks * np.random.default_rng(2).random(self.n) ** 2).astype(np.int64)
        return busy * CATEGORIES + self.categories

    @cached_property
    def _drawn(self) -> dict[str, NDArray[Any]]:
        rng = np.random.default_rng(3)
        return {
            "tags": self.categories[:, None] * 20 + rng.integers(0, 20, (self.n, 3)),
            "words": (30_000 * rng.random((self.n, 6)) ** 3).astype(np.int64),
            "age_ms": (rng.exponential(90 * DAY_MS, self.n)).astype(np.int64),
            "duration_ms": rng.integers(5_000, 180_000, self.n),
            "rare": rng.random(self.n),
        }

    def videos(self, start: int, stop: int) -> list[Video]:
        """Those of [start, stop)."""
        part = {name: column[start:stop].tolist() for name, column in self._drawn.items()}
        creators, categories = self.creators[start:stop], self.categories[start:stop]
        return [
            Video(
                video_id=video_id(start + i),
                published_at=self.made_ms - part["age_ms"][i],
                title=" ".join(f"word{w}" for w in part["words"][i]),
                tags=tuple(f"tag{t}" for t in part["tags"][i]),
                category=f"category{category}",
                language=LANGUAGES[creator % 97 % len(LANGUAGES)],
                countries=("DE", "AT", "CH") if part["rare"][i] < 0.05 else (),
                creator_id=f"creator{creator}",
                duration_ms=part["duration_ms"][i],
                thumbnail_url=f"https://thumbnails.example/{start + i}.jpg",
                min_age=16 if part["rare"][i] > 0.97 else 0,
                sponsored=0.5 < part["rare"][i] < 0.501,
            )
            for i, (creator, category) in enumerate(
                zip(creators.tolist(), categories.tolist(), strict=True)
            )
        ]


def video_id(i: int) -> str:
    """The id of the i-th video."""
    return f"v_{i:07d}"


@dataclass(frozen=True)
class BigCatalog:
    """A cached catalog. `snapshot` is a folder that `index_updater.snapshot.load` reads."""

    world: World
    folder: Path
    bundle: Bundle

    @property
    def snapshot(self) -> Path:
        return self.folder / "snapshot"

    @cached_property
    def vectors(self) -> F32:
        """(n, d) float32 of the item tower, mapped from the disk."""
        vectors: F32 = np.load(self.folder / "vectors.npy", mmap_mode="r")
        return vectors

    def produce(self, kafka: KafkaSettings) -> None:
        """All videos on topic `video-vectors`, as the vector flow writes them."""
        publisher = Publisher(kafka, linger_ms=20)
        for start in range(0, self.world.n, _CHUNK):
            progress(f"producing {start} of {self.world.n} videos")
            videos = self.world.videos(start, start + _CHUNK)
            vectors = np.asarray(self.vectors[start : start + _CHUNK], "<f4")
            for video, vector in zip(videos, vectors, strict=True):
                record = VideoVector(
                    video, self.bundle.id, vector.tobytes(), 0, 0, self.world.made_ms
                )
                key = video.video_id.encode()
                publisher.produce(_SOURCE, key, encode_vector(record))
            publisher.flush(60.0)
        publisher.close()

    def snapshot_for(self, kafka: KafkaSettings, folder: Path) -> None:
        """A snapshot in `folder` from which a process boots that has folded all of the topic so far.

        Its pieces are links into the cache; what a process saves there later is its own.
        """
        where = current(self.snapshot)
        if where is None:
            raise FileNotFoundError(f"no snapshot in {self.snapshot}: delete {self.folder}")
        folder.mkdir(parents=True, exist_ok=True)
        name = next_name(folder)
        pieces: dict[str, Callable[[Path], None]] = {
            path.name: _linked(path) for path in where.iterdir() if path.name != "manifest.json"
        }
        meta = {
            "bundle": self.bundle.id,
            "taken_ms": int(time.time() * 1000),
            "offsets": {source: list(at) for source, at in ends(kafka, _SOURCE).items()},
        }
        write_pieces(folder / f"{name}.draft", {}, pieces, json.dumps(meta))
        publish(folder, folder / f"{name}.draft", name)


def _linked(path: Path) -> Callable[[Path], None]:
    return lambda link: link.symlink_to(path.resolve())


def ends(kafka: KafkaSettings, topic: str) -> dict[str, tuple[str, int]]:
    """Source ("video-vectors:2") -> (topic id, offset of the next message)."""
    name = kafka.topic_prefix + topic
    topic_id, count = describe(admin(kafka), [name])[name]
    consumer = Consumer(client_config(kafka) | {"group.id": "headrace.bench"})
    try:
        return {
            f"{topic}:{p}": (topic_id, consumer.get_watermark_offsets(TopicPartition(name, p))[1])
            for p in range(count)
        }
    finally:
        consumer.close()


def big_catalog(n: int, settings: IndexSettings | None = None) -> BigCatalog:
    """The catalog of n videos: from the cache, or made (a million take minutes)."""
    settings, bundle = settings or IndexSettings(), bundles.load(ModelSettings())
    built_by = settings.model_dump(
        include={"structure", "m", "ef_construction", "ef_search", "recall_floor", "tail_rows"}
    )
    text = json.dumps([_DRAW, LAYOUT, bundle.id, built_by]).encode()
    cache = Path(os.environ.get("HEADRACE_BENCH_CACHE", OUT / "cache"))
    folder = cache / f"catalog-{n}-{xxhash.xxh3_64_hexdigest(text)[:8]}"
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two benchmarks at once make it once
        if not (folder / "made.json").exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            made_ms = int(time.time() * 1000)
            _make(BigCatalog(World(n, made_ms), folder, bundle), settings)
            (folder / "made.json").write_text(json.dumps({"made_ms": made_ms}))
    made = json.loads((folder / "made.json").read_text())
    return BigCatalog(World(n, made["made_ms"]), folder, bundle)


def _make(big: BigCatalog, settings: IndexSettings) -> None:
    n, dim = big.world.n, big.bundle.items.dim
    catalog, index = Catalog(dim, n), LiveIndex(dim, settings, capacity_for(n))
    vectors = np.lib.format.open_memmap(
        big.folder / "vectors.npy", "w+", dtype=np.float32, shape=(n, dim)
    )
    for start in range(0, n, _CHUNK):
        progress(f"making the catalog: {start} of {n}")
        videos = big.world.videos(start, start + _CHUNK)
        part = slice(start, start + len(videos))
        vectors[part] = big.bundle.items.embed(videos)
        catalog.upsert(videos, vectors[part], [(0, 0)] * len(videos))
        index.upsert(hash64_many([v.video_id for v in videos]), vectors[part])
    while index.maintain():
        pass
    vectors.flush()
    meta = {"bundle": big.bundle.id, "taken_ms": big.world.made_ms, "offsets": {}}
    snapshot.save(big.snapshot, index, catalog, meta)
