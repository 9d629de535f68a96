"""`headrace data`: a public data set, or the simulator's world, as a training log."""

from pathlib import Path
from typing import Annotated

import typer

from headrace.commands.shared import TRAINING, require
from headrace.datasets.names import Name

app = typer.Typer(
    help="Training logs: a folder with events, videos, and, where there are any, profiles and "
    "impressions as Parquet (events.parquet or events/*.parquet), in the fields of the wire format.",
    no_args_is_help=True,
)


@app.callback()
def data() -> None:
    """Training logs."""


@app.command()
def prepare(
    name: Annotated[Name, typer.Argument(help="Which public data set.")],
    source: Annotated[Path, typer.Argument(help="Its folder, or the one above.")],
    target: Annotated[Path, typer.Argument(help="The folder to write.")],
) -> None:
    """Turn a public data set into a training log."""
    from rich.console import Console

    require(TRAINING, "train")
    from headrace.datasets.prepare import prepare as write

    console = Console()
    with console.status(f"reading {source}"):
        about, counts = write(name, source, target)
    rows = ", ".join(f"{n:,} {kind}" for kind, n in counts.items())
    console.print(f"{target}: {about.name}, {rows}. Licence: {about.licence}")
    if about.clock == "order":
        console.print(
            "Its events are in order but have no times: gaps and delays say nothing here."
        )


@app.command()
def simulate(
    target: Annotated[Path, typer.Argument(help="The folder to write.")],
    viewers: Annotated[int, typer.Option(min=2, max=100_000)] = 300,
    videos: Annotated[int, typer.Option(min=2, max=1_000_000)] = 2000,
    days: Annotated[float, typer.Option(min=0.01, max=365)] = 7.0,
    seed: int = 7,
    first: Annotated[
        int, typer.Option(min=0, help="Number of the first viewer: others are other people.")
    ] = 0,
) -> None:
    """Write a log of the simulator's viewers, whose events lie seconds apart and whose tastes change."""
    from rich.console import Console

    require(TRAINING, "train")
    from headrace.datasets.simulated import Simulated
    from model_runtime.training.writing import write_log

    console = Console()
    world = Simulated(viewers, videos, days, seed, first)
    with console.status("viewers are watching"):
        counts = write_log(target, world.about, *world.made())
    rows = ", ".join(f"{n:,} {kind}" for kind, n in counts.items())
    console.print(f"{target}: {world.about.name}, {rows}")
