"""Clocks that step: those of the engine's processes under load, and those that stamp the events."""

import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from contracts.events import Event, encode_event
from contracts.videos import encode_video
from tests.faults import clean
from tests.faults.load import Load, Writer, clip, event
from tests.faults.world import Broker, World, world

HOUR_S, DAY_MS = 3600, 86_400_000
NEVER = threading.Event()


class EngineClock:
    """The wall clock of every Python process that is started with `environ`."""

    def __init__(self, folder: Path) -> None:
        compiler = shutil.which("cc") or shutil.which("gcc")
        assert compiler, "a C compiler is needed, as for the index"
        library, self._file = folder / "stepped_clock.so", folder / "ahead_s"
        source = Path(__file__).with_name("stepped_clock.c")
        command = [compiler, "-O1", "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"]
        subprocess.run(command, check=True)
        self.step_to(0)
        self.environ = {"LD_PRELOAD": str(library), "STEPPED_CLOCK_FILE": str(self._file)}

    def step_to(self, ahead_s: int) -> None:
        """Seconds ahead of the machine's clock from now on."""
        with self._file.open("r+b" if self._file.exists() else "wb") as file:
            file.write(np.int64(ahead_s).tobytes())

    def read(self) -> float:
        """Seconds that a process started now believes itself to be ahead."""
        command = [sys.executable, "-c", "import time; print(time.time())"]
        said = subprocess.check_output(command, env=os.environ | self.environ)
        return float(said) - time.time()


@pytest.mark.faults
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_when_the_engines_clock_steps_by_an_hour_nothing_is_lost_and_the_feed_stays_fresh(
    tmp_path: Path, kafka_factory: Callable[[Path], Broker], capsys: pytest.CaptureFixture[str]
) -> None:
    clock, took = EngineClock(tmp_path), []
    with world(tmp_path, kafka_factory(tmp_path), **clock.environ) as running:
        load = Load(running, seed=5, stable=40)
        load.settle()
        with load:
            for number, ahead_s in enumerate((HOUR_S, 0, -HOUR_S, 0)):
                running.rest(3.0)
                clock.step_to(ahead_s)
                assert abs(clock.read() - ahead_s) < 60
                took.append((ahead_s, fresh(running, number)))
        running.until(running.caught_up, 60, "all flows to have folded all")
        assert [text for _, text in running.said if "ended" in text] == [], "no process minds"
        clean.assert_users_equal(running)
        clean.assert_stats_equal(running)
    with capsys.disabled():
        print(f"\nclock steps (s ahead, s until fresh): {took}; feeds {dict(load.answers)}")
    assert not load.failures
    assert load.ghosts == []


def fresh(running: World, number: int) -> float:
    """Seconds until an event and a video that come now are in the feed, and retrievable."""
    began, writer = time.monotonic(), Writer(running.settings)
    video, viewer, seen = clip(f"step{number}", number), f"stepper{number}", f"s{number}"
    watched = event(viewer, 0, seen, "watch_complete")
    writer.send("events", [(viewer, encode_event(watched))], NEVER)
    writer.send("videos", [(video.video_id, encode_video(video))], NEVER)
    running.until(lambda: running.felt(viewer, seen), 60, "an event to be in the feed")
    running.until(lambda: running.retrievable(video.video_id), 60, "a video to be retrievable")
    return round(time.monotonic() - began, 2)


@pytest.mark.faults
def test_events_of_wrong_clocks_count_and_the_future_counts_as_now(
    tmp_path: Path, kafka_factory: Callable[[Path], Broker]
) -> None:
    with world(tmp_path, kafka_factory(tmp_path)) as running:
        load = Load(running, seed=6, stable=10)
        load.settle()
        now = time.time_ns() // 1_000_000
        stamps = [now + DAY_MS, now - DAY_MS, now // 1000, now + 1000 * DAY_MS, 1, now]
        events = [
            Event(f"odd-{i}", "odd", "watch_complete", stamp, f"s{i}")
            for i, stamp in enumerate(stamps)
        ]
        writer = Writer(running.settings)
        writer.send("events", [(e.user_id, encode_event(e)) for e in events], NEVER)
        running.until(running.caught_up, 60, "the events to be folded")
        running.until(lambda: running.felt("odd", "s5"), 30, "the last to be in the feed")
        clean.assert_users_equal(running)
        clean.assert_stats_equal(running)
        assert clean.counted(running)["odd"] == (len(events), len(events))
        record = clean.stored(running, ["odd"])[0]
        last = max(m.timestamp()[1] for ms in running.log("events").values() for m in ms)
        assert int(record["session_last_ms"]) <= last, "no event lies in the future"
        assert int(np.sort(record["hist_s"])[-1]) <= last // 1000
