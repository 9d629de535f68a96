"""`headrace train CONFIG`."""

from pathlib import Path
from typing import Annotated, Final

import typer

from headrace.commands.shared import TRAINING, require

# oneDNN keeps what it compiled for a product's shape, a thousand of a kind. Each step here has its own
# number of rows: nothing is found again, and a run grew by gigabytes. Read when torch first multiplies.
_KEPT_PRODUCTS: Final = ("LRU_CACHE_CAPACITY", "ONEDNN_PRIMITIVE_CACHE_CAPACITY")


def train(
    config: Annotated[
        Path, typer.Argument(help="TOML; `model_runtime/training/config.py` says what it may set.")
    ],
    finish: Annotated[
        bool,
        typer.Option(help="Train the towers no further: their best epoch so far becomes a bundle."),
    ] = False,
) -> None:
    """Train towers, and what the file asks for besides: [rank], appeal. Killed half-way, it goes on."""
    import os

    from rich.console import Console

    from headrace.environment import read_settings
    from headrace.ranker_view import heads_table
    from headrace.training_view import Bars

    require((*TRAINING, "torch", "lightgbm", "matplotlib"), "train")
    for variable in _KEPT_PRODUCTS:
        os.environ.setdefault(variable, "1")
    from model_runtime.training.config import read
    from model_runtime.training.running import train as run

    console = Console()
    settings = read(config)
    with Bars(console) as watch:
        made = run(settings, config.parent, watch, not finish, read_settings(os.environ))
    if made.heads is not None:
        console.print(heads_table(made.heads))
    bundle, told = made.bundle, made.bundle.metrics
    if "test_ndcg" in told:
        console.print(
            f"towers: test NDCG@10 {told['test_ndcg']:.4f}, HR@10 {told['test_hr']:.4f} of "
            f"{told['test_people']:,.0f} people; a state of {bundle.hidden * 4} bytes"
        )
    console.print(f"bundle {bundle.id}: {made.folder}/bundle/{bundle.id}")
