"""`headrace evaluate`."""

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from headrace.commands.shared import TRAINING, require

if TYPE_CHECKING:
    from rich.progress import Progress

    from model_runtime.evaluation.results import Results


class Protocols(Enum):
    """How a log is asked."""

    LAST = "last"
    TIME = "time"


class Taken(Enum):
    """What counts as taking to a video."""

    LIKED = "liked"
    ANY = "any"


def evaluate(
    log: Annotated[Path, typer.Argument(help="A training log: see `headrace data --help`.")],
    bundle: Annotated[
        list[str] | None,
        typer.Option(
            help="A bundle's folder, its id in the registry, or day0; may be given again."
        ),
    ] = None,
    protocol: Annotated[
        Protocols | None,
        typer.Option(
            help="last: the last video of each person; time: all that follows a moment, each "
            "learned from once it was asked for. Without it: time, if the log has times."
        ),
    ] = None,
    positives: Annotated[
        Taken | None,
        typer.Option(help="What counts as taking to a video; without it liked, or any for last."),
    ] = None,
    share: Annotated[
        float | None,
        typer.Option(
            min=0.001,
            max=0.5,
            help="Of the events, how many are asked for (time). Without it: what the "
            "bundles' training kept for its test; 0.1 where none says.",
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for report.html and results.json.")] = Path(
        "evaluation"
    ),
    choose: Annotated[
        bool, typer.Option(help="Choose the baselines' numbers by validation.")
    ] = True,
    late: Annotated[bool, typer.Option(help="Measure what a late state costs.")] = True,
    ranker: Annotated[bool, typer.Option(help="Measure the ranker's heads on impressions.")] = True,
    funnel: Annotated[bool, typer.Option(help="Ask the whole funnel too (time).")] = True,
    index: Annotated[
        bool, typer.Option(help="Ask the towers through the real index too, not only exactly.")
    ] = False,
) -> None:
    """Measure how good recommendations are, beside baselines, on a log; write a report."""
    import os

    from rich.console import Console

    require(TRAINING, "train")
    from contracts.errors import BundleError
    from headrace.environment import read_settings
    from headrace.evaluation import write
    from headrace.models import judged
    from headrace.offline_funnel import whole_of
    from headrace.offline_index import ThroughIndex
    from model_runtime.evaluation.evaluating import SHARE, Options
    from model_runtime.evaluation.evaluating import evaluate as measure

    settings = read_settings(os.environ)
    asked = judged(settings, bundle or ["day0"])
    loaded, kept = asked.bundles, Protocols(asked.split) if asked.split else None
    how = protocol or kept
    if kept and how and kept is not how:
        raise BundleError(
            f"--protocol {how.value} would ask what the bundle has learned: its training kept back by "
            f"{kept.value!r}"
        )
    whole = [recommender for one in loaded for recommender in whole_of(one, settings, log)]
    options = Options(
        how.value if how else None,
        positives.value if positives else None,
        share or asked.share or SHARE, choose, late, ranker,
    )  # fmt: skip
    console = Console()
    with _progress(console) as bar:
        task = bar.add_task("", total=1)
        results = measure(
            log, loaded, options,
            lambda what, done, total: bar.update(task, description=what, completed=done, total=total),
            [ThroughIndex(one, settings) for one in loaded] if index else [],
            whole if funnel else [],
        )  # fmt: skip
    written = write(results, out)
    _show(console, results)
    console.print(f"report: {written}")


def _progress(console: object) -> "Progress":
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    assert isinstance(console, Console)
    columns = TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn()
    return Progress(*columns, console=console, transient=True)


def _show(console: object, results: "Results") -> None:
    from rich.console import Console
    from rich.table import Table

    assert isinstance(console, Console)
    columns = ("ndcg@10", "hr@10", "recall@500")
    table = Table("", *columns, "coverage", box=None, header_style="bold")
    for one in sorted(results.lines, key=lambda one: -one.metrics["ndcg@10"].mean):
        style = "bold" if one.bundle else ""
        figures = [str(one.metrics[name]) for name in columns]
        table.add_row(one.name, *figures, f"{one.coverage:.1%}", style=style)
    console.print(table)
