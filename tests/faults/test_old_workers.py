"""An old worker that wakes up after a new one took over: what it had in hand must not be the last word.

Its states are on compacted topics: a replica that starts later knows nothing else.
"""

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from contracts.events import Event, encode_event
from contracts.settings import ModelSettings, Settings
from contracts.stats_rows import decode
from contracts.videos import VideoVector, decode_vector, encode_vector
from headrace.lookup import read_topics
from model_runtime import bundles
from streams.kafka import Publisher
from streams.topics import create_topics
from tests.faults.load import clip
from tests.integration.running import Deployment, deployment, eventually
from tests.integration.test_other_flows import stored_up_to, table

NOW_MS = 1_790_000_000_000
MANY = 1500


@pytest.fixture
def engine(settings: Settings, tmp_path: Path) -> Iterator[Deployment]:
    create_topics(settings.kafka)
    with deployment(settings, tmp_path) as running:
        yield running


@pytest.mark.faults
@pytest.mark.parametrize("wait_s", [0.15, 0.3])
def test_an_old_vector_worker_that_wakes_up_brings_no_removed_video_back(
    engine: Deployment, wait_s: float
) -> None:
    videos = [clip(f"v{i}", i) for i in range(MANY)]
    first = engine.send_videos([clip("first", 0)])
    old = engine.start("video-vectors")
    eventually(lambda: engine.folded_up_to(first, "video-vectors"))
    ends = engine.send_videos(videos)
    time.sleep(wait_s)
    old.send_signal(signal.SIGSTOP)
    had_it_in_hand = not engine.folded_up_to(ends, "video-vectors")
    engine.start("video-vectors")
    ends |= engine.produce([("videos", v.video_id.encode(), None) for v in videos])
    eventually(lambda: engine.folded_up_to(ends, "video-vectors"), 60)
    old.send_signal(signal.SIGCONT)
    ends |= engine.send_videos([clip("last", 1)])
    eventually(lambda: engine.folded_up_to(ends, "video-vectors"), 60)
    time.sleep(3.0)  # for what the old one had in hand
    found = {decode_vector(v).video.video_id for v in table(engine, "video-vectors").values()}
    assert found == {"first", "last"}, f"the old worker had a batch in hand: {had_it_in_hand}"


@pytest.mark.faults
def test_an_old_statistics_worker_that_wakes_up_does_not_turn_the_counts_back(
    engine: Deployment,
) -> None:
    def clicks(first: int, n: int) -> dict[str, int]:
        """Everybody clicks each of 300 videos, in one partition."""
        rng = np.random.default_rng(first)
        return engine.produce(
            [
                ("events", b"one", encode_event(Event(f"e{i}", f"u{i}", "click", NOW_MS, f"v{v}")))
                for i, v in zip(range(first, first + n), rng.integers(300, size=n), strict=True)
            ]
        )

    old = engine.start("video-stats", HEADRACE_STREAM__FLUSH_EVERY_MS="4000")
    ends = clicks(0, 300)
    eventually(lambda: stored_up_to(engine, ends))
    ends |= clicks(300, 2000)
    time.sleep(1.0)  # folded, not flushed
    old.send_signal(signal.SIGSTOP)
    engine.start("video-stats", HEADRACE_STREAM__FLUSH_EVERY_MS="100")
    ends |= clicks(2300, 3000)
    eventually(lambda: stored_up_to(engine, ends), 60)
    old.send_signal(signal.SIGCONT)
    time.sleep(6.0)  # it flushes what it had
    states, _ = decode(list(table(engine, "video-stats").values()))
    total = states.rows["counts"][:, 1].sum()
    assert total == pytest.approx(5300, rel=1e-3)


def test_a_version_that_is_written_late_is_passed_over_though_it_is_the_last_on_the_topic(
    engine: Deployment,
) -> None:
    bundle, publisher = bundles.load(ModelSettings()), Publisher(engine.settings.kafka)

    def write(name: str, offset: int, title: str | None) -> None:
        video, key, header = clip(name, 0, title or ""), name.encode(), f"0:{offset}"
        value = encode_vector(
            VideoVector(video, bundle.id, bundle.items.embed([video])[0].tobytes(), 0, offset, 1)
        )
        publisher.produce(
            "video-vectors", key, value if title else None, None, [("source", header.encode())]
        )

    for name, offset, title in (
        ("back", 1, "clip"), ("back", 9, None), ("back", 5, "clip"),
        ("title", 2, "old"), ("title", 8, "new"), ("title", 4, "old"),
        ("again", 3, "clip"), ("again", 6, None), ("again", 7, "clip"),
    ):  # fmt: skip
        write(name, offset, title)
    publisher.flush(10)
    publisher.close()
    catalog = read_topics(engine.settings, bundle, 30).catalog
    titles = {
        catalog.video_id(int(r)): catalog.title(int(r)) for r in catalog.rows_of(catalog.live_ids())
    }
    assert titles.keys() == {"title", "again"}
    assert "new" in titles["title"]
