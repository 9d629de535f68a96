"""The table of a run: first and last third of every series, and its verdict."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench.soak.series import Series, Verdict

_STYLES = {"GROWS": "bold red", "flat": "green", "too short": "yellow", "reported": "dim"}


def show(judged: Sequence[tuple[Series, Verdict]], title: str) -> None:
    """Print it."""
    table = Table(
        "series", "line", "unit", "first third", "last third", "per hour", "growth", "tolerated",
        "verdict", title=title,
    )  # fmt: skip
    before = ""
    for series, verdict in judged:
        judged_one = verdict.word in ("GROWS", "flat")
        table.add_row(
            "" if series.panel == before else series.panel,
            series.name,
            series.unit,
            number(verdict.first),
            number(verdict.last),
            f"{verdict.per_hour:+,.4g}",
            number(verdict.growth) if judged_one else "",
            number(verdict.allowed) if judged_one else "",
            Text(verdict.word, _STYLES[verdict.word]),
        )
        before = series.panel
    Console(width=170).print(table)


def number(value: float) -> str:
    """1,234 or 12.34 or 0.9951."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
