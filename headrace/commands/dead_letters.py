"""`headrace dead-letters list` and `replay`."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from headrace.commands.shared import StateDir

if TYPE_CHECKING:
    from streams.dead_letters import Found

app = typer.Typer(help="Messages that could not be used.", no_args_is_help=True)
Topic = Annotated[str | None, typer.Option(help="Only those that came from this topic.")]
Reason = Annotated[str | None, typer.Option(help="Only those whose reason contains this.")]


@app.command("list")
def list_letters(
    topic: Topic = None,
    reason: Reason = None,
    limit: Annotated[int, typer.Option(min=1, help="Show the newest so many.")] = 50,
    state_dir: StateDir = None,
) -> None:
    """Show what lies in the dead-letter topic, oldest first: where from, why, and the payload."""
    import os
    from datetime import UTC, datetime

    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from headrace.addresses import settings_with
    from headrace.commands.shared import find_sandbox
    from headrace.letters import matching, newest
    from streams.dead_letters import read_dead_letters

    settings = settings_with(find_sandbox(state_dir, Console(stderr=True)), os.environ)
    found, count = newest(matching(read_dead_letters(settings.kafka), topic, reason), limit)
    table = Table("at", "from", "reason", "payload", box=None, header_style="bold", pad_edge=False)
    for one in found:
        letter = one.letter
        at = datetime.fromtimestamp(letter.at / 1000, UTC).strftime("%m-%d %H:%M:%S")
        payload = repr(letter.payload[:120])[1:]
        place = f"{letter.topic}:{letter.partition}:{letter.offset}"
        table.add_row(at, place, escape(letter.reason), escape(payload))
    console = Console()
    if found:
        console.print(table)
    console.print(f"{count} dead letters" + (", the newest shown" if count > limit else ""))


@app.command()
def replay(
    topic: Topic = None,
    reason: Reason = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    state_dir: StateDir = None,
) -> None:
    """Send payloads once more to the topics that they came from, for example after a repair.

    The letters stay; what is still unusable becomes a new one, and what was counted is not counted
    twice.
    """
    import os
    from contextlib import closing

    from rich.console import Console

    from headrace.addresses import settings_with
    from headrace.commands.shared import find_sandbox
    from headrace.letters import matching
    from streams.dead_letters import read_dead_letters
    from streams.dead_letters import replay as send
    from streams.kafka import Publisher

    console = Console()
    settings = settings_with(find_sandbox(state_dir, Console(stderr=True)), os.environ)

    def letters() -> "Iterator[Found]":
        return matching(read_dead_letters(settings.kafka), topic, reason)

    if not yes:
        count = sum(1 for _ in letters())
        if not count:
            console.print("no dead letters to replay")
            return
        typer.confirm(f"Send {count} messages once more?", abort=True)
    with closing(Publisher(settings.kafka)) as publisher:
        console.print(f"{send(letters(), publisher)} messages sent")
