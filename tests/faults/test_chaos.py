"""kill -9 of every process in turn and at random moments, under load: nothing lost, nothing twice."""

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np
import pytest

from contracts.events import decode_event, encode_event
from contracts.videos import encode_video
from headrace.servers.apache_kafka import ApacheKafka
from tests.faults import clean
from tests.faults.load import Load, Writer, clip, event
from tests.faults.world import Broker, World, world

VICTIMS: Final = (
    "user-state", "video-stats", "video-vectors", "api-worker", "redis", "kafka", "api",
)  # fmt: skip
KILLS: Final = 20


def fresh_again(running: World, number: int) -> tuple[float, float]:
    """Seconds until an event that comes now is in the feed, and a video that comes now retrievable."""
    began, never = time.monotonic(), threading.Event()
    video, viewer = clip(f"probe{number}", number), f"viewer{number}"
    seen = f"s{number}"
    did = event(viewer, 0, seen, "watch_complete")

    def write() -> None:
        writer = Writer(running.settings)
        writer.send("events", [(viewer, encode_event(did))], never)
        writer.send("videos", [(video.video_id, encode_video(video))], never)

    writing = threading.Thread(target=write, daemon=True)
    writing.start()
    running.until(lambda: running.felt(viewer, seen), 60, "an event to be in the feed")
    felt_s = time.monotonic() - began
    running.until(lambda: running.retrievable(video.video_id), 60, "a video to be retrievable")
    writing.join()
    return felt_s, time.monotonic() - began


@pytest.mark.faults
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_killed_twenty_times_under_load_everything_equals_one_clean_fold_of_the_log(
    tmp_path: Path, kafka_factory: Callable[[Path], Broker], capsys: pytest.CaptureFixture[str]
) -> None:
    seed = int(os.environ.get("HEADRACE_TEST_SEED") or time.time_ns() % 100_000)
    rng = np.random.default_rng(seed)
    broker = kafka_factory(tmp_path)
    victims = [v for v in VICTIMS if v != "kafka" or isinstance(broker, ApacheKafka)]
    with world(
        tmp_path, broker, HEADRACE_INDEX__SNAPSHOT_EVERY_S="5", HEADRACE_STREAM__BATCH_EVENTS="200"
    ) as running:
        load = Load(running, seed)
        load.settle()
        rows = []
        with load:
            running.rest(2.0)
            for number in range(KILLS):
                running.rest(float(rng.uniform(0.2, 2.0)))
                victim = victims[number % len(victims)]
                running.kill(victim)
                rows.append((victim, *fresh_again(running, number)))
        running.until(running.caught_up, 60, "all flows to have folded all")
        people = clean.assert_users_equal(running)
        pairs = clean.assert_stats_equal(running)
        served = clean.assert_served_equal(running)
        counts = clean.counted(running)
        in_log = _ids_in_the_log(running)
    with capsys.disabled():
        print(_table(seed, rows, load, people, pairs, served))
    assert not load.failures
    assert load.sent <= in_log, "what was acknowledged is in the log"
    assert all(distinct == folded for distinct, folded in counts.values())
    assert load.ghosts == [], "a removed video was shown"


def _ids_in_the_log(running: World) -> set[str]:
    return {
        decode_event(m.value() or b"").event_id for ms in running.log("events").values() for m in ms
    }


def _table(
    seed: int,
    rows: list[tuple[str, float, float]],
    load: Load,
    people: int,
    pairs: int,
    served: int,
) -> str:
    lines = [
        f"\nHEADRACE_TEST_SEED={seed}; seconds from the kill until fresh again, worst of each:"
    ]
    for victim in dict.fromkeys(v for v, *_ in rows):
        felt = [f for v, f, _ in rows if v == victim]
        there = [t for v, _, t in rows if v == victim]
        lines.append(
            f"  {victim:14} x{len(felt)}  event in the feed {max(felt):5.2f}   "
            f"video retrievable {max(there):5.2f}"
        )
    lines.append(f"  {people} people, {pairs} statistics, {served} videos equal a clean fold")
    lines.append(
        f"  {len(load.sent)} events acknowledged, {load.kafka_again} + {load.posted_again} sends again"
    )
    lines.append(f"  feeds: {dict(load.answers)}; longest without a page {load.outage_s:.1f} s")
    return "\n".join(lines)
