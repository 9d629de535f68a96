"""Children are kept running, one by one, and none is left behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from contracts.errors import HeadraceError
from headrace.servers.process import Process
from headrace.supervisor import LONGEST_PAUSE_S, Part, Supervisor

SLEEPER = [sys.executable, "-c", "import time; time.sleep(60)"]
DIES = [sys.executable, "-c", "raise SystemExit(7)"]
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('on', flush=True);"
    "time.sleep(60)"
)


class Lines(list[tuple[str, str]]):
    def __call__(self, part: str, what: str) -> None:
        self.append((part, what))


def look_until(
    supervisor: Supervisor, condition: Callable[[], bool], timeout_s: float = 10.0
) -> None:
    give_up_at = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < give_up_at, "it did not happen in time"
        supervisor.look(time.monotonic())
        time.sleep(0.02)


@pytest.mark.faults
def test_a_killed_part_is_started_again_alone_and_said_so(tmp_path: Path) -> None:
    said = Lines()
    supervisor = Supervisor(said)
    one = supervisor.start("one", Process(SLEEPER, tmp_path / "1"), time.monotonic())
    two = supervisor.start("two", Process(SLEEPER, tmp_path / "2"), time.monotonic())
    killed, untouched = one.process.pid, two.process.pid
    os.kill(killed, signal.SIGKILL)
    look_until(supervisor, lambda: one.restarts == 1)
    assert one.process.running
    assert one.process.pid != killed
    assert two.process.pid == untouched
    assert [part for part, _ in said] == ["one", "one"]
    assert "SIGKILL" in said[0][1]
    assert str(one.process.pid) in said[1][1]
    supervisor.stop()


@pytest.mark.faults
def test_stopping_leaves_no_process_even_a_stubborn_or_frozen_one(tmp_path: Path) -> None:
    supervisor = Supervisor(Lines())
    stubborn = Process([sys.executable, "-c", STUBBORN], tmp_path / "stubborn")
    frozen = Process(SLEEPER, tmp_path / "frozen")
    for name, process in (("stubborn", stubborn), ("frozen", frozen)):
        supervisor.start(name, process, time.monotonic())
    look_until(supervisor, lambda: stubborn.tail() == "on")
    frozen.freeze()
    pids = [stubborn.pid, frozen.pid]
    supervisor.stop(timeout_s=0.5)
    assert not any(psutil.pid_exists(pid) for pid in pids)
    assert stubborn.returncode == -signal.SIGKILL
    assert frozen.returncode == -signal.SIGTERM
    assert supervisor.parts == []


def test_a_part_that_keeps_dying_is_started_ever_more_rarely(tmp_path: Path) -> None:
    part = Part("p", Process(DIES, tmp_path / "p"), lambda: None)
    pauses = []
    for deaths in range(1, 12):
        part.deaths = deaths
        pauses.append(part.pause_s)
    assert pauses[:3] == [0.2, 0.4, 0.8]
    assert pauses[-1] == LONGEST_PAUSE_S


def test_a_part_that_was_healthy_for_long_is_started_again_at_once(tmp_path: Path) -> None:
    said = Lines()
    supervisor = Supervisor(said)
    part = supervisor.start("p", Process(DIES, tmp_path / "p"), now_s=0.0)
    part.process.wait(10)
    for now_s in (1.0, 2.0):
        supervisor.look(now_s)
        part.process.wait(10)
    supervisor.look(2.5)
    assert part.deaths == 2
    supervisor.look(100.0)  # starts it
    part.process.wait(10)
    supervisor.look(200.0)
    assert part.deaths == 1
    assert "status 7" in said[0][1]
    supervisor.stop()


def test_a_start_that_fails_is_tried_again(tmp_path: Path) -> None:
    said, starts = Lines(), list[int]()
    process = Process(DIES, tmp_path / "p")

    def start() -> None:
        starts.append(1)
        if len(starts) == 2:
            raise HeadraceError("the port is taken")
        process.start()

    supervisor = Supervisor(said)
    part = supervisor.start("p", process, 0.0, start)
    process.wait(10)
    supervisor.look(1.0)
    supervisor.look(2.0)
    assert (part.restarts, part.deaths) == (1, 2)
    assert "the port is taken" in said[-1][1]
    supervisor.look(4.0)
    assert len(starts) == 3
    supervisor.stop()


@pytest.mark.faults
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="PR_SET_PDEATHSIG is Linux's")
def test_parts_of_a_killed_supervisor_end_with_it(tmp_path: Path) -> None:
    code = f"""
import pathlib, sys, time
from headrace.servers.process import Process
from headrace.supervisor import Supervisor
s = Supervisor(print)
for i in range(3):
    p = Process({SLEEPER!r}, pathlib.Path({str(tmp_path)!r}) / str(i))
    s.start(str(i), p, 0.0)
    print(p.pid, flush=True)
time.sleep(60)
"""
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    pids = [int(parent.stdout.readline()) for _ in range(3)]
    parent.kill()
    parent.wait()
    parent.stdout.close()
    give_up_at = time.monotonic() + 10
    while any(map(running, pids)):
        assert time.monotonic() < give_up_at
        time.sleep(0.02)


def running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
