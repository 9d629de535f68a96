"""`headrace train-ranker CONFIG`."""

from pathlib import Path
from typing import Annotated

import typer


def train_ranker(
    config: Annotated[
        Path,
        typer.Argument(
            help="TOML; `model_runtime/training/ranker_config.py` says what it may set."
        ),
    ],
) -> None:
    """Train the ranker on what was shown; killed half-way, the same command goes on where it was."""
    from rich.console import Console

    from contracts.errors import ConfigError
    from headrace.ranker_view import RankerView

    try:
        from model_runtime.training.ranker_config import read
        from model_runtime.training.ranker_running import train_ranker as run
    except ModuleNotFoundError as e:
        raise ConfigError(f"training needs {e.name}: pip install 'headrace[train]'") from None
    settings = read(config)
    with RankerView(Console(), settings.learning.epochs) as view:
        made, report = run(settings, config.parent, view)
        view.compared(report)
    folder = config.parent / settings.runs / settings.name
    view.console.print(f"{folder}: report.json, bundle/{made.id}")
