"""`headrace sandbox`."""

import os
from pathlib import Path
from typing import Annotated

import typer


def sandbox(
    state_dir: Annotated[
        Path, typer.Option(help="Its data, logs and, once it is ready, sandbox.json.")
    ] = Path("state"),
    simulator: Annotated[bool, typer.Option(help="Run viewers and creators in it.")] = True,
    api_port: Annotated[int, typer.Option(min=0, max=65535, help="0: a free one.")] = 0,
    workers: Annotated[int, typer.Option(min=1, help="Processes of the API.")] = 1,
    simulator_viewers: Annotated[int, typer.Option(min=1, help="People in the simulation.")] = 150,
) -> None:
    """Run everything on this machine, over private servers or those that settings name.

    Ctrl-C, or SIGTERM, ends it and every process that it started.
    """
    from datetime import datetime

    from rich.console import Console
    from rich.markup import escape

    from headrace.commands.shared import stop_on_signals
    from headrace.sandbox import Options, Sandbox

    console = Console(highlight=False, soft_wrap=True)

    def say(part: str, what: str) -> None:
        at = datetime.now().astimezone().strftime("%H:%M:%S")
        console.print(f"[dim]{at}[/dim] [cyan]{part:<14}[/cyan] {escape(what)}")

    stop = stop_on_signals()
    options = Options(state_dir, simulator, api_port, workers, simulator_viewers)
    run = Sandbox(options, os.environ, say).run
    say("sandbox", f"data and logs are in {state_dir.resolve()}")
    run(stop)
    say("sandbox", "ended")
