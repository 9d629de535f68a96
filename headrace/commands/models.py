"""`headrace models`: the registry of bundles, and which of them is in use."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from headrace.commands.shared import StateDir

if TYPE_CHECKING:
    from contracts.settings import Settings

app = typer.Typer(help="Bundles of models: publish, compare, promote.", no_args_is_help=True)
BundleId = Annotated[str, typer.Argument(help="Id of a bundle in the registry, or day0.")]


@app.command("list")
def list_models(state_dir: StateDir = None) -> None:
    """Show every bundle of the registry, the live one and the one held beside it."""
    from rich.console import Console
    from rich.table import Table

    from headrace import models

    listed = models.listed(_settings(state_dir))
    table = Table("bundle", "", "kind", "dim", "published", "metrics", box=None, pad_edge=False,
                  header_style="bold")  # fmt: skip
    for one in listed.bundles:
        m, state = one.manifest, {"live": "[green]live[/green]"}.get(one.state, one.state)
        if m is None:
            table.add_row(one.id, state, f"[red]{one.problem}[/red]")
            continue
        metrics = "  ".join(f"{name} {value:.4g}" for name, value in list(m.metrics.items())[:3])
        table.add_row(m.id, state, m.kind, str(m.dim), _when(m.published_ms), metrics)
    Console().print(table)
    if listed.problem:
        Console(stderr=True).print(f"which one is live is not known: {listed.problem}")


@app.command()
def publish(
    source: Annotated[
        Path, typer.Argument(exists=True, help="A bundle's folder, or numbers of day-0 as JSON.")
    ],
    bundle_id: Annotated[
        str | None, typer.Option("--id", help="Else the id that the folder's manifest says.")
    ] = None,
    state_dir: StateDir = None,
) -> None:
    """Put a bundle into the registry and announce it. What could not be served is refused."""
    from rich.console import Console

    from headrace import models

    settings = _settings(state_dir)
    made = models.publish(settings, source, bundle_id)
    Console().print(
        f"{made.id} ({made.kind}, {made.dim} dimensions) is in {settings.model.registry}"
    )


@app.command()
def promote(
    bundle_id: BundleId,
    timeout_s: Annotated[float, typer.Option(min=1, help="Longest wait until it is ready.")] = 900,
    state_dir: StateDir = None,
) -> None:
    """Make a bundle the live one, under traffic. The one before is held beside it, for rollback.

    Its vectors are made and every process takes it up first; then all change in one step. If anybody
    refuses it, what is live stays live.
    """
    from headrace.promotion import promote as run
    from headrace.redis_clients import blocking_client

    settings = _settings(state_dir)
    with blocking_client(settings.redis) as client:
        run(settings, client, bundle_id, timeout_s, _tell)


@app.command()
def rollback(state_dir: StateDir = None) -> None:
    """Make the bundle that is held beside the live one live again, at once."""
    from headrace.promotion import rollback as run
    from headrace.redis_clients import blocking_client

    settings = _settings(state_dir)
    with blocking_client(settings.redis) as client:
        run(settings, client, _tell)


@app.command()
def release(state_dir: StateDir = None) -> None:
    """Let go of the bundle beside the live one: its memory, and the work of making its vectors."""
    from headrace import models

    _tell(f"{models.release(_settings(state_dir)).live} is live, and alone")


@app.command()
def diff(old: BundleId, new: BundleId, state_dir: StateDir = None) -> None:
    """Show what differs between two bundles: features, training, data, metrics, files."""
    from rich.console import Console
    from rich.table import Table

    from headrace import models

    found = models.difference(_settings(state_dir), old, new)
    if not found:
        Console().print("the two differ in nothing but their ids")
        return
    table = Table("", old, new, box=None, header_style="bold", pad_edge=False)
    for name, before, after in found:
        table.add_row(name, _cell(before), _cell(after))
    Console().print(table)


@app.command()
def export(
    bundle: Annotated[str, typer.Argument(help="A bundle's folder, or its id in the registry.")],
    folder: Annotated[
        Path, typer.Argument(help="A new one; Triton's layout of a model repository.")
    ],
    state_dir: StateDir = None,
) -> None:
    """Write a bundle's learned models as ONNX graphs: user step, item tower, ranker.

    The engine serves without them; they are for those who serve with Triton or onnxruntime.
    """
    from headrace.commands.shared import require

    require(("onnx",), "onnx")
    from headrace import models

    for graph in models.export(_settings(state_dir), bundle, folder):
        _tell(f"{graph.path}: {', '.join(graph.inputs)} -> {', '.join(graph.outputs)}")


def _settings(state_dir: Path | None) -> "Settings":
    import os

    from rich.console import Console

    from headrace.addresses import settings_with
    from headrace.commands.shared import find_sandbox

    return settings_with(find_sandbox(state_dir, Console(stderr=True)), os.environ)


def _tell(what: str) -> None:
    from rich.console import Console

    Console(highlight=False, soft_wrap=True).print(what, markup=False)


def _cell(value: Any) -> str:
    return "-" if value is None else "yes" if value is True else str(value)


def _when(ms: int) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M") if ms else ""
