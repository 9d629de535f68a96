"""`headrace train CONFIG`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from headrace.commands.shared import TRAINING, require


def train(
    config: Annotated[
        Path, typer.Argument(help="TOML; `model_runtime/training/config.py` says what it may set.")
    ],
    finish: Annotated[
        bool, typer.Option(help="Train no further: the best epoch so far becomes a bundle.")
    ] = False,
) -> None:
    """Train the towers on a log; killed half-way, the same command goes on where it was."""
    from rich.console import Console

    from headrace.training_view import Bars

    require((*TRAINING, "torch", "matplotlib"), "train")
    from model_runtime.training.config import read
    from model_runtime.training.running import train as run

    console = Console()
    settings = read(config)
    with Bars(console, settings.optimiser.epochs) as watch:
        made = run(settings, config.parent, watch, further=not finish)
    told: dict[str, Any] = made.metrics
    console.print(
        f"bundle {made.id}: test NDCG@10 {told['test_ndcg']:.4f}, HR@10 {told['test_hr']:.4f} of "
        f"{told['test_people']:,.0f} people; a state of {made.hidden * 4} bytes"
    )
    folder = config.parent / settings.runs / settings.name
    console.print(f"{folder}: metrics.json, curves.png, bundle/{made.id}")
