"""`headrace simulate`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from headrace.commands.shared import StateDir

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table


def simulate(
    api: Annotated[
        str | None, typer.Option(help="URL of the engine; else that of the sandbox.")
    ] = None,
    state_dir: StateDir = None,
    viewers: Annotated[int, typer.Option(min=1, help="People, each with a hidden taste.")] = 150,
    videos: Annotated[int, typer.Option(min=1, help="Clips that are there to begin with.")] = 2000,
    rate: Annotated[float, typer.Option(min=0.01, help="Feeds a second, at most.")] = 15.0,
    publish_rate: Annotated[float, typer.Option(min=0, help="New clips a second.")] = 1.0,
    page: Annotated[int, typer.Option(min=1, max=100, help="Clips on a page.")] = 10,
    seconds: Annotated[float | None, typer.Option(min=1, help="Else until it is ended.")] = None,
    seed: Annotated[int, typer.Option(help="The same seed makes the same world.")] = 7,
    first: Annotated[
        int, typer.Option(min=0, help="Number of the first viewer: others are other people.")
    ] = 0,
    report: Annotated[
        Path | None, typer.Option(help="A JSON file with the figures, replaced every second.")
    ] = None,
) -> None:
    """Viewers with hidden tastes watch, skip and like over HTTP, while creators publish.

    At the end it prints what it measured: how soon a feed contains an event, how soon a clip can be
    retrieved, and how much longer people watch than they would watch clips drawn at random.
    """
    import os

    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    from contracts.errors import ConfigError
    from headrace.commands.shared import find_sandbox, stop_on_signals
    from headrace.environment import read_settings
    from headrace.simulator import Plan, run

    console = Console(highlight=False)
    if api is None:
        found = find_sandbox(state_dir, console)
        if found is None:
            raise ConfigError("say where the engine is: --api URL, or --state-dir of a sandbox")
        api = found.api
    keys = read_settings(os.environ).api.keys
    plan = Plan(viewers, videos, rate, publish_rate, page, seconds, seed, first)
    stop = stop_on_signals()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("publishing the first clips", total=videos)
        figures = run(
            api,
            plan,
            report=report,
            stop=stop,
            advance=lambda n: bar.advance(task, n),
            api_key=keys[0].get_secret_value() if keys else None,
        )
    _print(console, figures)


def _print(console: "Console", figures: dict[str, Any]) -> None:
    counts = figures["counts"]
    console.print(_durations(figures["durations"]))
    told = ", ".join(f"{name} {count:,}" for name, count in sorted(counts.items()))
    console.print(f"counted: {told or 'nothing'}")
    console.print(f"rungs: {_shares(figures['rungs'])}")
    for name, count in sorted(figures["errors"].items()):
        console.print(f"errors: {name}: {count:,}", style="red", markup=False)
    for text in figures["complaints"][-1:]:
        console.print(f"the last one: {text}", style="red", markup=False, soft_wrap=True)
    for name, part in (("overall", "total"), ("lately", "recent")):
        quality = figures["quality"][part]
        if quality["ratio"] is not None:
            console.print(
                f"watch time {name}: [bold]{quality['ratio']:.2f}x[/bold] of random clips "
                f"({quality['ratio_low']:.2f} to {quality['ratio_high']:.2f}), "
                f"{quality['watch_s_served']:.1f} s a clip against {quality['watch_s_random']:.1f} s; "
                f"completed {quality['complete_served']:.1%} against {quality['complete_random']:.1%}",
                soft_wrap=True,
            )


def _durations(durations: dict[str, Any]) -> "Table":
    from rich.table import Table

    table = Table("measured by the client", "n", "p50 ms", "p99 ms", "max ms")
    for kind, parts in durations.items():
        total = parts["total"]
        if total["n"]:
            shown = [f"{total[name]:.1f}" for name in ("p50_ms", "p99_ms", "max_ms")]
            table.add_row(kind.replace("_", " "), f"{total['n']:,}", *shown)
    return table


def _shares(rungs: dict[str, int]) -> str:
    whole = sum(rungs.values())
    return ", ".join(f"{name} {n / whole:.1%}" for name, n in sorted(rungs.items())) or "none"
