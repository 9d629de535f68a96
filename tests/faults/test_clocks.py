"""Events that are stamped by wrong clocks."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from contracts.events import Event, encode_event
from tests.faults import clean
from tests.faults.load import Load, Writer
from tests.faults.world import Broker, world

DAY_MS = 86_400_000
NEVER = threading.Event()


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
