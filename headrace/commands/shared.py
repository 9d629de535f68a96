"""What several commands need: stopping on a signal, logging, options that mean the same everywhere."""

import logging
import signal
import threading
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from contracts.errors import ConfigError

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


TRAINING: Final = ("implicit", "pyarrow", "scipy")


def require(modules: Sequence[str], extra: str) -> None:
    """Say which extra is missing before anything of it is imported.

    Raises:
        ConfigError: a module is not installed.
    """
    if missing := [name for name in modules if find_spec(name) is None]:
        raise ConfigError(
            f"this needs {', '.join(missing)}, which serving does without: install the extra {extra!r} "
            f"(in a checkout: pip install -e '.[{extra}]')"
        )


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


def give_way(nice: int) -> None:
    """Lower this process' priority. Where the kernel groups sessions (autogroup), the session's too."""
    import os

    os.nice(nice)
    try:
        Path("/proc/self/autogroup").write_text(str(nice))
    except OSError:
        pass  # another system, a kernel without it, or a container that may not


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
