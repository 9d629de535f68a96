"""`headrace replay PATH`."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from headrace.commands.shared import StateDir


class Times(StrEnum):
    """What happens to recorded times; `headrace.replay.Shift` has the same values."""

    NOW = "now"
    END = "end"
    KEEP = "keep"


def _speed(text: str | float) -> float:
    """0.0 for "max"; raises BadParameter for what is neither that nor a number."""
    if text == "max":
        return 0.0
    try:
        speed = float(text)
    except ValueError:
        speed = -1.0
    if not 0 <= speed < float("inf"):
        raise typer.BadParameter(f"{text!r} is neither a number nor max")
    return speed


def replay(
    path: Annotated[
        Path | None,
        typer.Argument(
            help="JSON lines, Parquet, a folder of them, or KuaiRand; else HEADRACE_DATA."
        ),
    ] = None,
    speed: Annotated[
        float,
        typer.Option(
            parser=_speed, metavar="FLOAT|max", help="Recorded seconds a second; max: --max-rate."
        ),
    ] = 1.0,
    times: Annotated[
        Times,
        typer.Option(help="now: as if it happened now; end: the last one just now; keep: as is."),
    ] = Times.NOW,
    limit: Annotated[int | None, typer.Option(min=1, help="Messages at most.")] = None,
    max_rate: Annotated[float, typer.Option(min=1, help="Messages a second at most.")] = 50_000.0,
    country: Annotated[
        str | None, typer.Option(help="Of KuaiRand's people and videos; the data does not tell.")
    ] = None,
    metrics: Annotated[
        list[str] | None, typer.Option(help="URLs to read freshness from; else the sandbox's.")
    ] = None,
    state_dir: StateDir = None,
) -> None:
    """Send a recorded log of events, videos and profiles through the running engine."""
    import os

    from rich.console import Console

    from contracts.errors import ConfigError
    from headrace.addresses import STATE_DIR, settings_with
    from headrace.commands.shared import find_sandbox, stop_on_signals
    from headrace.json_file import write_to
    from headrace.replay import FILE, Shift, run
    from headrace.replaying_view import show_summary, telling

    console = Console()
    found = find_sandbox(state_dir, console)
    settings = settings_with(found, os.environ)
    source = path or settings.data
    if source is None:
        raise ConfigError("what to replay? Say PATH, or set HEADRACE_DATA")
    report = write_to((state_dir or STATE_DIR) / FILE) if found else None
    with telling(console, report) as tell:
        summary = run(
            source,
            settings,
            speed=speed,
            shift=Shift(times.value),
            limit=limit,
            max_rate=max_rate,
            countries=[country] if country else (),
            country=country,
            metrics=metrics or (found.metrics if found else ()),
            tell=tell,
            stop=stop_on_signals(),
        )
    show_summary(console, summary)
    if summary.failed:
        raise typer.Exit(1)
