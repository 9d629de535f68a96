"""The simulator against a whole engine, and against one that is not there."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from headrace import addresses
from headrace.addresses import Addresses
from headrace.servers.process import free_port
from headrace.simulator import FILE, Plan, run

READY_S = 90.0


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Addresses]:
    """A sandbox without a simulator of its own."""
    folder = tmp_path_factory.mktemp("sandbox")
    environ = {k: v for k, v in os.environ.items() if not k.startswith("HEADRACE_")}
    command = [sys.executable, "-m", "headrace", "sandbox", "--no-simulator"]
    with (folder / "out.log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "--state-dir", str(folder)], env=environ, stdout=log, stderr=log
        )
    try:
        give_up_s = time.monotonic() + READY_S
        while not (folder / addresses.FILE).exists():
            assert process.poll() is None, (folder / "out.log").read_text()
            assert time.monotonic() < give_up_s, (folder / "out.log").read_text()
            time.sleep(0.1)
        yield addresses.read(folder)
    finally:
        process.terminate()
        process.wait(30)


@pytest.mark.kafka
@pytest.mark.redis
def test_viewers_watch_longer_than_at_random_and_everything_is_measured(
    engine: Addresses, tmp_path: Path
) -> None:
    plan = Plan(viewers=30, videos=300, rate=20.0, publish_rate=4.0, seconds=12.0, seed=3)
    published: list[int] = []
    figures = run(engine.api, plan, report=tmp_path / FILE, advance=published.append)
    assert sum(published) == 300
    assert figures["phase"] == "done"
    assert figures["errors"] == {}
    for kind in ("event_to_feed", "publish_to_retrievable", "feed", "post", "put"):
        measured = figures["durations"][kind]["total"]
        assert measured["n"] > 10, kind
        assert 0 < measured["p50_ms"] <= measured["p99_ms"], kind
    counts = figures["counts"]
    assert counts["events"] > counts["feeds"]
    assert counts["events_rejected"] == counts["empty_pages"] == 0
    assert "removed_but_shown" not in counts
    assert "events_not_seen_in_time" not in counts
    quality = figures["quality"]["total"]
    assert quality["videos"] == counts["shown"]
    assert quality["ratio_low"] > 1.2
    assert orjson.loads((tmp_path / FILE).read_bytes())["quality"]["total"] == quality


def test_an_engine_that_is_not_there_is_an_error_that_is_counted_and_stops_in_time() -> None:
    stop = threading.Event()
    timer = threading.Timer(1.0, stop.set)
    timer.start()
    began_s = time.monotonic()
    figures = run(f"http://127.0.0.1:{free_port()}", Plan(viewers=3, videos=5), stop=stop)
    assert time.monotonic() - began_s < 4.0
    assert figures["errors"]["publish: ConnectError"] > 0
    assert figures["complaints"]
