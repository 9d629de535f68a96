"""How `headrace replay` looks on a terminal."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from headrace import replay

Tell = Callable[[replay.Progress], None]


@contextmanager
def telling(console: Console, report: Tell | None) -> Iterator[Tell]:
    """A progress bar while the block runs; each step goes to `report` too."""
    columns = (
        TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"),
        TextColumn("{task.fields[sent]:,} messages"), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("replay", total=1.0, sent=0)

        def tell(progress: replay.Progress) -> None:
            bar.update(
                task, completed=progress.share, sent=progress.produced,
                description=escape(progress.name),
            )  # fmt: skip
            if report is not None:
                report(progress)

        yield tell


def show_summary(console: Console, summary: replay.Summary) -> None:
    """What was sent, what was refused and why, and how fresh the engine stayed."""
    console.print(
        f"{summary.events:,} events, {summary.videos:,} videos, {summary.profiles:,} profiles in "
        f"{summary.seconds:.1f} s ({summary.per_s:,.0f} messages/s)",
        highlight=False,
    )
    for name, count in summary.failed.items():
        console.print(f"[red]{count:,} were not taken by Kafka: {escape(name)}[/red]")
    if summary.refused:
        console.print(f"{summary.refused:,} rows are no message; the first of them:")
        for row in summary.examples[:5]:
            console.print(f"  {escape(str(row))}", highlight=False)
    if summary.freshness:
        table = Table("freshness", "observed", "p50", "p99", box=None, header_style="bold")
        for one in summary.freshness:
            table.add_row(one.what, f"{one.observed:,}", _time(one.p50_s), _time(one.p99_s))
        console.print(table)


def _time(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds * 1000:.0f} ms"
