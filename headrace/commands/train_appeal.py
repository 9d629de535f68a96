"""`headrace train-appeal LOG BUNDLE NAME`."""

from pathlib import Path
from typing import Annotated

import typer

from headrace.commands.shared import TRAINING, require


def train_appeal(
    log: Annotated[Path, typer.Argument(help="A training log with times.")],
    bundle: Annotated[str, typer.Argument(help="Id of a bundle of the registry, or day0.")],
    name: Annotated[str, typer.Argument(help="Id of the new bundle.")],
    into: Annotated[
        str | None, typer.Option(help="Give the weights to this bundle instead.")
    ] = None,
    share: Annotated[
        float,
        typer.Option(min=0.001, max=0.5, help="Of the events, how many are left untouched."),
    ] = 0.1,
) -> None:
    """Learn how towers, statistics and ranker add up to one order, from what people took to next."""
    import os

    from rich.console import Console
    from rich.table import Table

    require(TRAINING, "train")
    from headrace.environment import read_settings
    from model_runtime.evaluation.appeal_running import train_appeal as run

    console = Console()
    with console.status("replaying the log"):
        made, learned = run(log, read_settings(os.environ), bundle, name, into, share)
    table = Table("term", "weight", box=None, header_style="bold")
    for term, weight in sorted(learned.weights.items(), key=lambda one: -abs(one[1])):
        table.add_row(term, f"{weight:+.3f}")
    console.print(table)
    console.print(f"bundle {made.id}")
