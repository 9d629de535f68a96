"""The demo: a sandbox as a child process, a replay beside it if there is a log, and a view of all."""

import shlex
import shutil
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from contracts.errors import HeadraceError
from contracts.redis_url import without_secrets
from headrace import addresses, dashboard
from headrace.addresses import Addresses
from headrace.sandbox import only_one
from headrace.servers.process import Process

_START_S = 200.0


@dataclass(frozen=True, slots=True)
class Demo:
    """What to show. `data` is a recorded log that is replayed beside the simulated viewers."""

    state_dir: Path
    data: Path | None
    speed: float
    viewers: int
    workers: int
    api_port: int

    def sandbox(self) -> list[str]:
        """Command line of the sandbox."""
        return [
            *(sys.executable, "-m", "headrace", "sandbox"),
            *("--state-dir", str(self.state_dir), "--api-port", str(self.api_port)),
            *("--workers", str(self.workers), "--simulator-viewers", str(self.viewers)),
        ]

    def replay(self) -> list[str]:
        """Command line of the replay."""
        return [
            *(sys.executable, "-m", "headrace", "replay", str(self.data)),
            *("--speed", str(self.speed), "--state-dir", str(self.state_dir)),
            # KuaiRand does not tell where its videos may be shown. One country for them and their
            # people keeps the two audiences apart: the simulated viewers know nothing of them.
            *("--country", "CN"),
        ]


def show(demo: Demo, stop: threading.Event, console: Console, seconds: float | None) -> None:
    """Run it until `stop` is set or `seconds` are over.

    Raises:
        ConfigError: a sandbox runs in the folder already.
        HeadraceError: the sandbox does not start, or has ended; with the end of its log.
    """
    log = demo.state_dir / "logs" / "sandbox.log"
    replay_log = log.with_name("replay.log")
    with only_one(demo.state_dir):
        for old in (log, replay_log, demo.state_dir / addresses.FILE):
            old.unlink(missing_ok=True)
    with _running(Process(demo.sandbox(), log)) as sandbox:
        with console.status("starting"):
            ready = _wait(demo.state_dir, sandbox, stop)
        if ready is None:
            return
        console.print(introduction(ready, demo), highlight=False, soft_wrap=True)
        watch = _Watch(sandbox, stop, seconds)
        replay = Process(demo.replay(), replay_log) if demo.data else None
        with _running(replay):
            watch.start()
            dashboard.run(demo.state_dir / addresses.FILE, watch.over, console=console)
        if replay is not None:
            console.print(replay.tail(12), highlight=False, markup=False)
        if not sandbox.running:
            raise HeadraceError(f"the sandbox has ended; see {log}:\n{sandbox.tail()}")
        console.print("ending the sandbox")


@contextmanager
def _running(process: Process | None) -> Iterator[Process]:
    """Started on entry, stopped on exit. None: nothing."""
    if process is None:
        yield Process([], Path())
        return
    process.start()
    try:
        yield process
    finally:
        process.stop(30.0)


def _wait(state_dir: Path, sandbox: Process, stop: threading.Event) -> Addresses | None:
    """The addresses once it is ready; None when told to stop first."""
    waited_s = 0.0
    while not stop.wait(0.1):
        waited_s += 0.1
        if (state_dir / addresses.FILE).exists():
            return addresses.read(state_dir)
        if not sandbox.running or waited_s > _START_S:
            raise HeadraceError(f"the sandbox does not start:\n{sandbox.tail(20)}")
    return None


class _Watch:
    """Ends the view when it is stopped, when its time is over, or when the sandbox has ended."""

    def __init__(self, sandbox: Process, stop: threading.Event, seconds: float | None) -> None:
        self._sandbox, self._stop, self._seconds = sandbox, stop, seconds
        self.over = threading.Event()

    def start(self) -> None:
        """Look in the background."""
        threading.Thread(target=self._look, name="demo-watch", daemon=True).start()

    def _look(self) -> None:
        waited_s = 0.0
        while not self._stop.wait(0.2) and self._sandbox.running:
            waited_s += 0.2
            if self._seconds is not None and waited_s >= self._seconds:
                break
        self.over.set()


def program() -> str:
    """How this program was called, for lines to paste."""
    called = Path(sys.argv[0])
    if called.name != "headrace":
        return f"{shlex.quote(sys.executable)} -m headrace"
    on_path = shutil.which("headrace")
    return "headrace" if on_path == str(called) else shlex.quote(str(called))


def introduction(ready: Addresses, demo: Demo) -> str:
    """Where to look and what to paste."""
    event = (
        '{"event_id":"my-1","user_id":"me","event_type":"watch_complete",'
        '"video_id":"VIDEO_ID_FROM_THE_FEED","timestamp":\'$(date +%s%3N)\'}'
    )
    inspect = f"{program()} user me"
    if demo.state_dir != addresses.STATE_DIR:
        inspect += f" --state-dir {shlex.quote(str(demo.state_dir))}"
    redis = escape(without_secrets(ready.redis))
    return "\n".join(
        [
            f"[bold]API[/bold]      {ready.api}/docs   metrics {ready.api}/metrics",
            f"[bold]Kafka[/bold]    {ready.kafka}   [bold]Redis[/bold] {redis}",
            "[bold]Try it[/bold]   in another terminal:",
            f"  curl '{ready.api}/v1/recommendations/feed?user_id=me&limit=5'",
            f"  curl -X POST {ready.api}/v1/events -H 'content-type: application/json' \\",
            escape(f"    -d '{event}'"),
            f"  {inspect}",
            f"[dim]logs are in {demo.state_dir / 'logs'}; Ctrl-C ends everything[/dim]",
        ]
    )
