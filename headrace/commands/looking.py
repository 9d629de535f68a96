"""What `user` and `video` share: reading the topics with a spinner, and printing a tree of facts."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from contracts.models import Bundle
    from contracts.settings import Settings
    from headrace.lookup import World


def open_world(state_dir: Path | None, timeout_s: float) -> "tuple[Settings, Bundle, World]":
    """Settings, bundle and what the topics say of all videos."""
    import os

    from rich.console import Console

    from headrace.addresses import settings_with
    from headrace.commands.shared import find_sandbox
    from headrace.lookup import read_topics
    from headrace.models import lineup_of
    from model_runtime import bundles

    console = Console(stderr=True)
    settings = settings_with(find_sandbox(state_dir, console), os.environ)
    bundle = bundles.load(settings.model, lineup_of(settings).live)
    with console.status("reading the video topics") as status:
        world = read_topics(
            settings, bundle, timeout_s, lambda n: status.update(f"reading: {n:,} videos")
        )
    return settings, bundle, world


def print_facts(title: str, facts: Mapping[str, Any], as_json: bool) -> None:
    """Facts as JSON, or as a tree in which what is empty is left out."""
    from rich.console import Console
    from rich.tree import Tree

    console = Console(highlight=False)
    if as_json:
        console.print_json(data=dict(facts))
        return
    tree = Tree(f"[bold]{title}[/bold]", guide_style="dim")
    for name, value in facts.items():
        _grow(tree, name, value)
    console.print(tree)


def _grow(tree: Any, name: str, value: Any) -> None:
    from rich.markup import escape

    if value is None or value in ("", [], {}):
        return
    label = f"[cyan]{escape(name)}[/cyan]"
    if isinstance(value, Mapping):
        branch = tree.add(label)
        for key, inner in value.items():
            _grow(branch, str(key), inner)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        branch = tree.add(f"{label} [dim]({len(value)})[/dim]")
        for item in value:
            branch.add(escape(_line(item)))
    else:
        tree.add(f"{label}  {escape(str(value))}")


def _line(item: Any) -> str:
    if not isinstance(item, Mapping):
        return str(item)
    return "  ".join(f"{value}" for value in item.values() if value is not None)
