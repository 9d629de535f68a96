"""What one worker process of the API serves: `create` builds its clients and what it follows.

`headrace.server` starts the workers; nothing here runs in their parent.
"""

import logging
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from contracts.errors import HeadraceError
from headrace.commands.shared import freeze_garbage, log_to_stderr
from headrace.environment import read_settings
from headrace.servers.tether import die_with_parent

if TYPE_CHECKING:
    from litestar import Litestar

_log = logging.getLogger(__name__)
# prometheus_client's own variable: it decides at import whether values live in shared files.
_METRICS: Final = "PROMETHEUS_MULTIPROC_DIR"
_SWITCH_S: Final = 0.0005
_CATCH_UP_S: Final = 10.0  # then an old page is better than none


def create() -> "Litestar":
    """The application of this worker, already following its topics. Called by Granian."""
    die_with_parent(os.getppid())
    log_to_stderr()
    if folder := os.environ.get(_METRICS):
        forget_dead_workers(Path(folder))
    try:
        app = build(os.environ)
    except HeadraceError as e:
        _log.error("%s", e)
        sys.exit(1)
    freeze_garbage()
    return app


def build(environ: Mapping[str, str]) -> "Litestar":
    """Settings -> clients -> state -> application; the state has caught up with its topics on return.

    Else the first pages would show what was removed after the snapshot. Where Kafka is away or has
    very much to tell, the feed answers from what there is, and `/readyz` says so.

    Raises:
        HeadraceError: a wrong setting, or no bundle that can be served.
    """
    from headrace.redis_clients import feed_client
    from headrace.serving import Serving
    from streams.user_flow import clock_ms

    # A feed must not wait 5 ms (the default) for a thread that follows a topic or fills the graph.
    sys.setswitchinterval(_SWITCH_S)
    settings = read_settings(environ)
    serving = Serving(settings, feed_client(settings.redis), clock_ms, environ.get(_METRICS))
    serving.start()
    if not serving.state.catch_up(_CATCH_UP_S):
        _log.warning("serving before all topics are read: %s", serving.state.ready()[1])
    serving.rehearse()
    return serving.app


def forget_dead_workers(folder: Path) -> None:
    """Remove the gauges of workers that are gone; their counters stay, so that sums never fall."""
    from prometheus_client.multiprocess import mark_process_dead

    for pid in {path.stem.rpartition("_")[2] for path in folder.glob("gauge_live*.db")}:
        if pid.isdigit() and not _alive(int(pid)):
            mark_process_dead(int(pid), str(folder))  # type: ignore[no-untyped-call]


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
