"""The loop of the live view: read, compute, draw."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import httpx
import orjson
from rich.console import Console
from rich.live import Live

from headrace.addresses import Addresses
from headrace.addresses import read as read_addresses
from headrace.dashboard.figures import Figures, figures
from headrace.dashboard.scraping import Window, read
from headrace.dashboard.view import line, screen

SIMULATOR: Final = "simulator.json"
REPLAY: Final = "replay.json"
_TIMEOUT_S: Final = 1.0


def run(
    sandbox_json: Path,
    stop: threading.Event,
    *,
    console: Console | None = None,
    every_s: float = 1.0,
    line_every_s: float = 5.0,
    window_s: float = 30.0,
    notes: Callable[[], Sequence[str]] = tuple,
) -> None:
    """Show a running sandbox until `stop` is set: a live view on a terminal, else a line at times.

    Args:
        sandbox_json: the addresses that `headrace sandbox` wrote; the reports of the simulator and
            of a replay are looked for beside it.
        stop: ends the view.
        console: where to write; standard output by default.
        every_s: between two looks on a terminal.
        line_every_s: between two lines elsewhere.
        window_s: what rates and quantiles are taken over.
        notes: sentences to show below the figures, for example of a part that was started again.

    Raises:
        ConfigError: no sandbox is ready there.
    """
    console = console or Console()
    addresses = read_addresses(sandbox_json.parent)
    screens = _screens(addresses, sandbox_json.parent, window_s)
    if not console.is_terminal:
        for shown in screens:
            console.print(line(shown), soft_wrap=True, highlight=False)
            if stop.wait(line_every_s):
                return
    with Live(console=console, auto_refresh=False) as live:
        for shown in screens:
            live.update(screen(shown, addresses.api, notes()), refresh=True)
            if stop.wait(every_s):
                return


def _screens(addresses: Addresses, folder: Path, window_s: float) -> Iterator[Figures]:
    window = Window(window_s)
    with httpx.Client(timeout=_TIMEOUT_S, trust_env=False) as http:
        while True:
            readings = window.add(read(http, addresses.metrics, time.monotonic()))
            yield figures(readings, _report(folder / SIMULATOR), _report(folder / REPLAY))


def _report(path: Path) -> dict[str, Any]:
    """The newest report; empty when there is none. It is replaced as a whole, so never half."""
    try:
        found = orjson.loads(path.read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return {}
    return found if isinstance(found, dict) else {}
