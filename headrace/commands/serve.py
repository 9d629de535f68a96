"""`headrace serve`."""

from typing import Annotated

import typer


def serve(
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Else HEADRACE_API__PORT.")
    ] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Else HEADRACE_API__WORKERS.")] = None,
) -> None:
    """Serve the HTTP API from as many worker processes as told, on one port."""
    import os

    from headrace.commands.shared import log_to_stderr
    from headrace.server import run_server

    told = {"HEADRACE_API__PORT": port, "HEADRACE_API__WORKERS": workers}
    # Workers are processes that read the environment themselves.
    os.environ.update({name: str(value) for name, value in told.items() if value is not None})
    log_to_stderr()
    run_server(os.environ)
