"""What several commands need: stopping on a signal, logging, options that mean the same everywhere."""

import logging
import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from headrace.addresses import Addresses

StateDir = Annotated[
    Path | None,
    typer.Option(
        help="Talk to the sandbox that runs in this folder; else to what settings name, else to a "
        "sandbox in ./state.",
    ),
]


def stop_on_signals() -> threading.Event:
    """An event that SIGINT and SIGTERM set; a second SIGINT interrupts as usual."""
    stop = threading.Event()

    def ask(number: int, _: object) -> None:
        stop.set()
        if number == signal.SIGINT:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    signal.signal(signal.SIGINT, ask)
    signal.signal(signal.SIGTERM, ask)
    return stop


def log_to_stderr() -> None:
    """Lines of `time level logger: message`, for processes whose output is a log."""
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )


def freeze_garbage() -> None:
    """What start-up made lives as long as the process: the collector need not look at it again."""
    import gc

    gc.collect()
    gc.freeze()


def find_sandbox(state_dir: Path | None, console: "Console") -> "Addresses | None":
    """The sandbox that the command is meant for, and a line if it was found unasked."""
    import os

    from headrace import addresses

    found = addresses.find(state_dir, os.environ)
    if found is not None and state_dir is None:
        console.print(f"[dim]the sandbox in ./{addresses.STATE_DIR}[/dim]")
    return found
