"""The command line: one command a file in `headrace.commands`; an error is one clear line.

A command imports what it needs when it runs, so that help is quick.
"""

import os
import sys

import typer

from contracts.errors import HeadraceError
from headrace.commands import data, dead_letters, models, topics
from headrace.commands.demo import demo
from headrace.commands.evaluate import evaluate
from headrace.commands.replay import replay
from headrace.commands.sandbox import sandbox
from headrace.commands.serve import serve
from headrace.commands.settings import settings
from headrace.commands.simulate import simulate
from headrace.commands.stream import stream
from headrace.commands.train import train
from headrace.commands.user import user
from headrace.commands.video import video

app = typer.Typer(
    name="headrace",
    help="Streaming personalization for video feeds: a click changes the next feed.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
_TRY, _RUN, _LOOK, _LEARN = "Try it", "Run it", "Look into it", "Learn from a log"
app.command(rich_help_panel=_TRY)(demo)
app.command(rich_help_panel=_TRY)(sandbox)
app.command(rich_help_panel=_TRY)(simulate)
app.command(rich_help_panel=_TRY)(replay)
app.command(rich_help_panel=_RUN)(stream)
app.command(rich_help_panel=_RUN)(serve)
app.add_typer(topics.app, name="topics", rich_help_panel=_RUN)
app.add_typer(models.app, name="models", rich_help_panel=_RUN)
app.command(rich_help_panel=_RUN)(settings)
app.command(rich_help_panel=_LOOK)(user)
app.command(rich_help_panel=_LOOK)(video)
app.add_typer(dead_letters.app, name="dead-letters", rich_help_panel=_LOOK)
app.add_typer(data.app, name="data", rich_help_panel=_LEARN)
app.command(rich_help_panel=_LEARN)(train)
app.command(rich_help_panel=_LEARN)(evaluate)


def main() -> None:
    """Entry point: 0 done, 1 an error that we know, 2 wrong usage, 130 interrupted."""
    try:
        app()
    except HeadraceError as e:
        print(f"headrace: {e}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:  # `headrace ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
