"""The soak's verdicts and its load: what grows is found, what only jitters is not."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.soak.events import TAILS, Events, encoded
from bench.soak.pacing import Pace
from bench.soak.publishing import Publishing
from bench.soak.recording import PANELS, Recording
from bench.soak.sampling import Tail
from bench.soak.series import F64, Series, Tolerance, binned, judge, theil_sen
from bench.soak.watching import Watched
from bench.soak.world import World, video_id, viewer_id
from contracts.errors import BadMessageError
from contracts.events import decode_event
from contracts.profiles import decode_profile
from contracts.topics import PROFILES, VIDEOS
from contracts.videos import decode_video
from headrace.simulator.catalogue import Catalogue

WORLD = World("127.0.0.1:1", "http://127.0.0.1:1", 1e9, 2e9, 5000.0, 10.0, 1000, 7.0, 500, 3.0)
SECONDS = np.arange(900.0)
seeds = st.integers(0, 2**32 - 1)


MEMORY = Tolerance(0.05, 8.0)


def verdict(values: F64, tolerance: Tolerance = MEMORY) -> str:
    return judge(Series("memory", "flow", "MB", SECONDS[: len(values)], values, tolerance)).word


def sawtooth(height: float, every_s: float) -> F64:
    """Memory between two collections."""
    return height * (SECONDS % every_s) / every_s


@given(seeds)
def test_a_leak_is_found_under_a_sawtooth_noise_and_outliers(seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = 200 + 40 * SECONDS / 900 + sawtooth(30, 37) + rng.normal(0, 3, 900)
    values[rng.integers(0, 900, 20)] += 500
    assert verdict(values) == "GROWS"


@given(seeds)
def test_a_sawtooth_with_noise_and_outliers_is_flat(seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = 200 + sawtooth(60, rng.uniform(20, 120)) + rng.normal(0, 3, 900)
    values[rng.integers(0, 900, 20)] += 500
    assert verdict(values) == "flat"


def test_growth_within_the_tolerance_is_flat_and_beyond_it_grows() -> None:
    assert verdict(100 + 7 * SECONDS / 900) == "flat"
    assert verdict(100 + 9 * SECONDS / 900) == "GROWS"
    assert verdict(1000 + 45 * SECONDS / 900) == "flat"
    assert verdict(1000 + 55 * SECONDS / 900) == "GROWS"


def test_what_ought_to_stay_high_is_judged_the_other_way_round() -> None:
    recall = Tolerance(0.0, 0.01, worse=-1)
    assert verdict(0.999 - 0.02 * SECONDS / 900, recall) == "GROWS"
    assert verdict(0.97 + 0.02 * SECONDS / 900, recall) == "flat"


def test_a_table_that_was_doubled_once_is_flat_and_one_that_is_doubled_again_and_again_grows() -> (
    None
):
    once, passing = np.where(SECONDS > 300, 300.0, 200.0), (SECONDS > 300) & (SECONDS < 500)
    stairs = np.asarray(200 + 15 * (SECONDS // 150), np.float64)
    assert verdict(once) == verdict(np.where(passing, 300.0, 200.0)) == "flat"
    assert verdict(stairs) == "GROWS"


@pytest.mark.parametrize("n", [0, 1, 5])
def test_of_a_few_samples_nothing_is_said(n: int) -> None:
    assert verdict(np.arange(float(n)) * 100) == "too short"


def test_the_warm_up_and_what_was_not_measured_do_not_count() -> None:
    values = np.where(SECONDS < 300, SECONDS, 300.0)
    values[400:500] = np.nan
    series = Series("memory", "flow", "MB", SECONDS, values, MEMORY)
    assert judge(series.since(300)).word == "flat"
    assert judge(series.since(0)).word == "GROWS"


@given(st.floats(-50, 50), st.floats(-50, 50), seeds)
def test_the_slope_lies_in_its_interval_and_moves_with_the_line(
    slope: float, level: float, seed: int
) -> None:
    y = level + slope * SECONDS[:40] + np.random.default_rng(seed).normal(0, 1, 40)
    low, middle, high = theil_sen(SECONDS[:40], y)
    assert low <= middle <= high
    assert theil_sen(SECONDS[:40], y + SECONDS[:40])[1] == pytest.approx(middle + 1)


@given(st.integers(1, 500))
def test_bins_keep_the_order_and_the_range(n: int) -> None:
    at_s, values = binned(SECONDS[:n], SECONDS[:n])
    assert len(at_s) <= 60
    assert (np.diff(at_s) > 0).all()
    assert values.min() >= 0
    assert values.max() <= n


@given(st.floats(0, 5000), st.floats(0, 60))
def test_somebody_comes_for_each_one_who_goes(age_s: float, later_s: float) -> None:
    before, after = WORLD.viewers_at(1e9 + age_s), WORLD.viewers_at(1e9 + age_s + later_s)
    assert len(before) == len(after) == 500
    assert 0 <= after.start - before.start <= 3.0 * later_s + 1


def test_a_world_survives_the_command_line() -> None:
    assert World.of_json(WORLD.to_json()) == WORLD


@given(st.integers(0, 10**9), st.integers(0, 10**6))
def test_every_encoded_event_is_one_that_the_engine_takes(number: int, viewer: int) -> None:
    key, value = encoded(number, viewer, 7, 1_700_000_000_000)
    event = decode_event(value)
    assert (event.user_id, event.video_id) == (key.decode(), video_id(7))
    assert event.event_id == f"{number:x}"


def test_every_kind_of_event_is_sent() -> None:
    sent = {decode_event(encoded(n, 1, 1, 10**12)[1]).event_type for n in range(len(TAILS))}
    assert sent == {
        "watch", "watch_complete", "click", "skip", "like", "share", "search", "follow",
        "not_interested", "rate",
    }  # fmt: skip


def test_the_load_says_how_many_it_repeats_and_breaks() -> None:
    events = Events(WORLD)
    messages = [m for _ in range(50) for m in events.take(1000, 1e9)]
    broken = [value for _, value in messages if not _taken(value)]
    ids = [decode_event(value).event_id for _, value in messages if _taken(value)]
    assert len(ids) - len(set(ids)) == events.repeated == 1000
    assert len(set(ids)) == events.sent == 50_000
    assert len(broken) == events.broken == 2


def _taken(value: bytes) -> bool:
    try:
        decode_event(value)
    except BadMessageError:
        return False
    return True


def test_publishing_keeps_exactly_the_videos_of_the_window() -> None:
    publishing = Publishing(WORLD)
    there = {key for _, key, _ in publishing.first(10**12)}
    for second in range(1, 40):
        for topic, key, value in publishing.take(1e9 + second):
            if topic != VIDEOS.name:
                continue
            if value is None:
                there.remove(key)  # it was there
            else:
                assert decode_video(value).video_id == key
                there.add(key)
    assert there == {video_id(n) for n in WORLD.videos_at(1e9 + 39)}
    assert publishing.counts["changed"] == publishing.counts["removed"] == 273


def test_viewers_who_come_have_a_profile_and_every_second_one_asks_to_be_forgotten() -> None:
    publishing = Publishing(WORLD)
    list(publishing.first(10**12))
    said = [(k, v) for t, k, v in publishing.take(1e9 + 100) if t == PROFILES.name]
    came = [decode_profile(value).user_id for _, value in said if value is not None]
    assert came == [viewer_id(n) for n in range(500, 800)]
    assert [key for key, value in said if value is None] == [viewer_id(n) for n in range(1, 300, 2)]


def test_clips_are_called_as_the_catalogue_calls_them() -> None:
    catalogue = Catalogue(0, 10)
    assert [catalogue.make(0)[0].video_id for _ in range(3)] == [video_id(n) for n in range(3)]


def test_a_pace_makes_up_for_a_short_delay_and_counts_what_it_cannot() -> None:
    pace = Pace(100.0, 1000.0)
    assert [pace.due(1000.0 + t) for t in (0.1, 0.2, 1.0)] == [10, 10, 80]
    assert (pace.due(1005.0), pace.skipped) == (100, 300)
    assert pace.due(1005.1) == 10


def test_a_generator_is_read_line_by_line_and_its_complaints_are_passed_over(
    tmp_path: Path,
) -> None:
    log = tmp_path / "log"
    log.write_bytes(b'{"sent": 1}\n%4|rdkafka complains\n{"sent"')
    tail = Tail(log)
    assert tail.lines() == [{"sent": 1}]
    with log.open("ab") as file:
        file.write(b": 2}\n")
    assert tail.lines() == [{"sent": 2}]


def test_a_sample_of_an_unknown_panel_is_refused_and_the_load_is_not_judged() -> None:
    recording = Recording()
    with pytest.raises(KeyError, match="no panel 'memori'"):
        recording.add("memori", "x", 0, 1.0)
    for at_s in range(3):
        recording.add("threads", "Apache Kafka", at_s, 90.0)
        recording.add("threads", "user-state", at_s, 20.0)
        recording.add("threads", "user-state", at_s, None)
    kafka, flow = recording.series()
    assert kafka.tolerance is None
    assert flow.tolerance == PANELS["threads"][1]
    assert flow.values.tolist() == [20.0] * 3


def test_a_process_with_a_passing_grandchild_is_there_until_it_ends_itself() -> None:
    forks = "import os,time\nwhile True:\n if os.fork() == 0: os._exit(0)\n os.wait()"
    starts = f"import subprocess,sys; subprocess.run([sys.executable, '-c', {forks!r}])"
    parent = subprocess.Popen([sys.executable, "-c", starts], start_new_session=True)
    try:
        watched = Watched(parent.pid, children=True)
        seen = [watched.look() for _ in range(300)]
    finally:
        os.killpg(parent.pid, signal.SIGKILL)
        parent.wait()
    assert all(look is not None and look.rss_mb > 0 for look in seen)
    assert {len(look.pids) for look in seen[100:] if look is not None} == {1}
    assert watched.look() is None
