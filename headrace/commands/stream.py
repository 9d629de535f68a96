"""`headrace stream NAME`."""

from enum import StrEnum
from typing import Annotated

import typer


class Flow(StrEnum):
    """The flows; `headrace.flows.FLOWS` has the same names."""

    USER_STATE = "user-state"
    VIDEO_STATS = "video-stats"
    VIDEO_VECTORS = "video-vectors"


def stream(name: Annotated[Flow, typer.Argument(help="Which flow.")]) -> None:
    """Run one flow in this process until it is told to stop.

    Process k of n (HEADRACE_STREAM__PROCESS_INDEX, _COUNT) takes every n-th partition. Killed at any
    moment it goes on, when started again, where its state says.
    """
    import os

    # A flow is one process: shared metric files would only be in the way.
    os.environ.pop("PROMETHEUS_MULTIPROC_DIR", None)
    from prometheus_client import start_http_server

    from headrace.commands.shared import give_way, log_to_stderr, stop_on_signals
    from headrace.environment import read_settings
    from headrace.flows import FLOWS

    log_to_stderr()
    stop = stop_on_signals()
    settings = read_settings(os.environ)
    waited_for = name is Flow.USER_STATE
    give_way(settings.stream.nice if waited_for else settings.stream.background_nice)
    if settings.metrics.port:
        start_http_server(settings.metrics.port, settings.metrics.host)
    FLOWS[name.value](settings, stop)
