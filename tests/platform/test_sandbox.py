"""The sandbox as a person runs it: ready, asked by every command, broken, ended; nothing remains."""

import json
import os
import re
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from confluent_kafka import Producer

from contracts.errors import ConfigError
from headrace import addresses
from headrace.sandbox import Options, Sandbox

pytestmark = [pytest.mark.kafka, pytest.mark.redis, pytest.mark.faults]
# Empty is "not set", as a file of variables passes what nobody filled in.
EMPTY = {"HEADRACE_MODEL__REGISTRY": "", "HEADRACE_INDEX__SNAPSHOT_DIR": ""}
CLEAN = {k: v for k, v in os.environ.items() if not k.startswith("HEADRACE_")} | EMPTY
READY_S = 90.0


def wait_until(condition: Callable[[], Any], timeout_s: float = 30.0) -> None:
    give_up_at = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < give_up_at, "it did not happen in time"
        time.sleep(0.05)


class Box:
    """A running `headrace sandbox` and its output."""

    def __init__(self, state: Path, *arguments: str) -> None:
        self.state = state
        self.output = state.with_suffix(".out")
        command = [sys.executable, "-m", "headrace", "sandbox", "--state-dir", str(state)]
        with self.output.open("wb") as out:
            self.process = subprocess.Popen(
                [*command, "--no-simulator", *arguments], env=CLEAN, stdout=out, stderr=out
            )

    def wait_until_ready(self) -> addresses.Addresses:
        wait_until(self._ready_or_dead, READY_S)
        assert self.process.poll() is None, self.said()
        return addresses.read(self.state)

    def _ready_or_dead(self) -> bool:
        return (self.state / addresses.FILE).exists() or self.process.poll() is not None

    def said(self) -> str:
        return self.output.read_text()

    def children(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def end(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        return self.process.wait(30)


def headrace(box: Box, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "headrace", *arguments, "--state-dir", str(box.state)]
    return subprocess.run(
        command, env=CLEAN | {"COLUMNS": "160"}, capture_output=True, text=True, check=False
    )


def words(process: psutil.Process) -> str:
    """Its command line; empty when it has just ended."""
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def workers_of(serve: psutil.Process) -> list[psutil.Process]:
    return [child for child in serve.children() if "spawn_main" in words(child)]


def gone(processes: list[psutil.Process]) -> bool:
    def ended(process: psutil.Process) -> bool:
        try:
            return process.status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return True

    return all(map(ended, processes))


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    box = Box(tmp_path_factory.mktemp("box") / "state", "--workers", "2")
    box.wait_until_ready()
    yield box
    children = box.children()
    assert box.end(signal.SIGTERM) == 0, box.said()
    assert gone(children)
    assert not (box.state / addresses.FILE).exists()


def test_the_addresses_are_those_of_the_parts_and_all_answer(box: Box) -> None:
    written = json.loads((box.state / addresses.FILE).read_bytes())
    assert set(written) == {"api", "kafka", "redis", "metrics", "registry"}
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+", written["api"])
    assert re.fullmatch(r"127\.0\.0\.1:\d+", written["kafka"])
    assert written["redis"].startswith("redis://")
    assert len(written["metrics"]) == 4
    for url in [*written["metrics"], f"{written['api']}/readyz"]:
        assert httpx.get(url, trust_env=False).status_code == 200
    for name in (addresses.FILE, "token.secret"):
        assert stat.S_IMODE((box.state / name).stat().st_mode) == 0o600


def test_a_second_sandbox_in_the_same_folder_is_refused_with_the_reason(box: Box) -> None:
    done = headrace(box, "sandbox")
    assert done.returncode == 1
    assert f"process {box.process.pid}" in done.stderr
    assert (box.state / addresses.FILE).exists()


def test_a_demo_in_the_same_folder_is_refused_and_touches_nothing(box: Box) -> None:
    log = box.state / "logs" / "sandbox.log"
    log.write_text("of an earlier demo")
    done = headrace(box, "demo")
    assert done.returncode == 1
    assert f"process {box.process.pid}" in done.stderr
    assert (box.state / addresses.FILE).exists()
    assert log.read_text() == "of an earlier demo"


def test_what_settings_leave_empty_lies_in_the_folder(box: Box) -> None:
    assert addresses.read(box.state).registry == str(box.state / "registry")
    assert (box.state / "index").is_dir()


@pytest.mark.parametrize("name", ["TLS_CERTIFICATE", "TLS_KEY"])
def test_tls_is_refused_before_anything_starts(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="plain HTTP"):
        Sandbox(Options(tmp_path), {f"HEADRACE_API__{name}": "some.pem"}, lambda *_: None)


def test_what_was_watched_is_told_by_user_and_video_without_the_api(box: Box) -> None:
    found = addresses.read(box.state)
    now_ms = time.time_ns() // 1_000_000
    producer = Producer({"bootstrap.servers": found.kafka})
    for i in range(5):
        video = {"video_id": f"v{i}", "title": f"Soup {i}", "category": "cooking", "tags": ["soup"]}
        producer.produce("videos", json.dumps(video | {"published_at": now_ms}), f"v{i}")
    producer.flush(10)
    wait_until(lambda: headrace(box, "video", "v1").returncode == 0)
    for i in range(3):
        event = {"event_id": f"e{i}", "user_id": "ann", "video_id": f"v{i}", "timestamp": now_ms}
        event |= {"event_type": "watch_complete"}
        producer.produce("events", json.dumps(event), "ann")
    producer.flush(10)
    wait_until(lambda: "cooking" in headrace(box, "user", "ann").stdout)
    facts = json.loads(headrace(box, "user", "ann", "--json").stdout)
    assert facts["statistics"]["completes"] == 3
    assert {row["video_id"] for row in facts["history"]} == {"v0", "v1", "v2"}
    video = json.loads(headrace(box, "video", "v1", "--json").stdout)
    assert (video["title"], video["category"]) == ("Soup 1", "cooking")
    assert {row["video_id"] for row in video["similar_content"]} == {"v0", "v2", "v3", "v4"}


def test_somebody_unknown_is_one_clear_line(box: Box) -> None:
    for words in (("user", "nobody"), ("video", "nothing")):
        done = headrace(box, *words)
        assert done.returncode == 1
        assert done.stderr.startswith("headrace: ")
        assert "Traceback" not in done.stderr


def test_a_dead_letter_is_listed_with_its_reason_and_can_be_replayed(box: Box) -> None:
    producer = Producer({"bootstrap.servers": addresses.read(box.state).kafka})
    producer.produce("events", b'{"event_id": "x", "user_id": ', "bob")
    producer.flush(10)
    wait_until(lambda: "1 dead letters" in headrace(box, "dead-letters", "list").stdout)
    listed = headrace(box, "dead-letters", "list", "--topic", "events").stdout
    assert "not an event" in listed
    assert "user_id" in listed
    assert "no dead letters" in headrace(box, "dead-letters", "replay", "--topic", "videos").stdout
    replayed = headrace(box, "dead-letters", "replay", "--yes", "--reason", "NOT AN EVENT")
    assert "1 messages sent" in replayed.stdout, replayed.stderr
    wait_until(lambda: "2 dead letters" in headrace(box, "dead-letters", "list").stdout)


def test_json_lines_are_replayed_and_counted(box: Box, tmp_path: Path) -> None:
    event = {"event_id": "r", "user_id": "cid", "video_id": "v1", "event_type": "like"}
    lines = [json.dumps(event | {"event_id": f"r{i}", "timestamp": 10**12 + i}) for i in range(9)]
    (tmp_path / "events.jsonl").write_text("\n".join([*lines, "not json"]) + "\n")
    done = headrace(box, "replay", str(tmp_path / "events.jsonl"), "--speed", "0")
    assert done.returncode == 0, done.stderr
    assert "9 events" in done.stdout
    assert "1 rows are no message" in done.stdout
    assert "event to state" in done.stdout


@pytest.mark.parametrize("part", ["stream user-state", "tansu", "headrace serve", "-server"])
def test_a_part_that_is_killed_is_started_again_and_everything_answers(box: Box, part: str) -> None:
    found = addresses.read(box.state)
    restarts = box.said().count("is running again")
    victim = next(
        child for child in psutil.Process(box.process.pid).children() if part in words(child)
    )
    victim.kill()
    wait_until(lambda: box.said().count("is running again") > restarts)
    wait_until(lambda: _answers(f"{found.api}/readyz"))
    wait_until(lambda: all(map(_answers, found.metrics)))


def test_a_worker_of_the_api_that_is_killed_is_replaced_and_counters_do_not_fall(box: Box) -> None:
    found = addresses.read(box.state)
    for _ in range(20):
        feed = httpx.get(f"{found.api}/v1/recommendations/feed?user_id=ann", trust_env=False)
        assert feed.status_code == 200
    served = _feeds(found)
    serve = next(child for child in box.children() if "headrace serve" in words(child))
    workers = workers_of(serve)
    assert len(workers) == 2
    workers[0].kill()
    wait_until(lambda: len(workers_of(serve)) == 2)
    wait_until(lambda: _answers(f"{found.api}/readyz"))
    wait_until(lambda: not list((box.state / "metrics").glob(f"gauge_live*_{workers[0].pid}.db")))
    assert serve.is_running()
    assert _feeds(found) >= served >= 20


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


def _feeds(found: addresses.Addresses) -> float:
    text = httpx.get(f"{found.api}/metrics", trust_env=False).text
    return sum(
        float(line.rsplit(" ", 1)[1])
        for line in text.splitlines()
        if line.startswith("headrace_feed_seconds_count")
    )


def test_told_to_end_while_it_starts_it_ends_with_status_0_and_leaves_nothing(
    tmp_path: Path,
) -> None:
    box = Box(tmp_path / "state")
    wait_until(lambda: "video-vectors" in box.said())
    children = box.children()
    assert len(children) >= 4
    assert box.end(signal.SIGINT) == 0, box.said()
    assert gone(children)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="PR_SET_PDEATHSIG is Linux's")
def test_killed_itself_it_leaves_no_process_either(tmp_path: Path) -> None:
    box = Box(tmp_path / "state")
    box.wait_until_ready()
    children = box.children()
    assert len(children) >= 6
    assert box.end(signal.SIGKILL) == -signal.SIGKILL
    wait_until(lambda: gone(children))
    assert "was killed" in headrace(box, "video", "v1").stderr
    (box.state / addresses.FILE).unlink()  # else we would take it for the next one's
    again = Box(tmp_path / "state")
    again.wait_until_ready()
    assert again.end(signal.SIGTERM) == 0
