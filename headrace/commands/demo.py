"""`headrace demo`."""

from pathlib import Path
from typing import Annotated

import typer


def demo(
    state_dir: Annotated[Path, typer.Option(help="Data and logs.")] = Path("state"),
    data: Annotated[
        Path | None,
        typer.Option(help="Replay this recorded log beside the simulation; else HEADRACE_DATA."),
    ] = None,
    speed: Annotated[
        float,
        typer.Option(min=0, help="Of the log: recorded seconds a second. 720: 12 hours a minute."),
    ] = 720.0,
    viewers: Annotated[int, typer.Option(min=1, help="People in the simulation.")] = 150,
    workers: Annotated[int, typer.Option(min=1, help="Processes of the API.")] = 1,
    api_port: Annotated[int, typer.Option(min=0, max=65535, help="0: a free one.")] = 0,
    seconds: Annotated[float | None, typer.Option(min=1, help="Else until Ctrl-C.")] = None,
) -> None:
    """Start a sandbox with viewers in it, and watch it live. Nothing else is needed.

    With a recorded log (KuaiRand, JSON lines or Parquet) that log is replayed beside the simulated
    viewers, as if it happened now.
    """
    import os

    from rich.console import Console

    from headrace.commands.shared import stop_on_signals
    from headrace.demo import Demo, show
    from headrace.environment import read_settings

    recorded = data or read_settings(os.environ).data
    what = Demo(state_dir, recorded, speed, viewers, workers, api_port)
    show(what, stop_on_signals(), Console(), seconds)
