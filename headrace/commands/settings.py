"""`headrace settings`."""

from typing import Any


def settings() -> None:
    """List every setting: its environment variable, the value in force and what it means."""
    import os

    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from headrace.environment import fields, read_settings, says

    tree = read_settings(os.environ).model_dump()
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("variable", no_wrap=True)
    table.add_column("value", overflow="fold")
    table.add_column("meaning")
    for variable, field in fields().items():
        value: Any = tree
        for part in variable.removeprefix("HEADRACE_").lower().split("__"):
            value = value[part]
        changed = says(variable, os.environ)
        shown = "-" if value in (None, ()) else escape(str(value))
        table.add_row(
            variable, f"[bold]{shown}[/bold]" if changed else shown, escape(field.description or "")
        )
    console = Console()
    if not console.is_terminal:
        console.width = 200  # whole lines, for grep
    console.print(table)
