"""The parent of the API's worker processes: one port, one folder of metrics, one signing secret."""

import logging
import multiprocessing
import secrets
import shutil
import tempfile
from collections.abc import MutableMapping
from pathlib import Path
from typing import Final

from contracts.settings import ApiSettings
from headrace.environment import read_settings

_log = logging.getLogger(__name__)
_BACKLOG: Final = 2048
_RESPAWN_S: Final = 0.5


def run_server(environ: MutableMapping[str, str]) -> None:
    """Serve until SIGINT or SIGTERM; `environ` is what the workers inherit.

    Raises:
        ConfigError: a wrong setting.
    """
    settings = read_settings(environ)
    if settings.api.token_secret is None:
        environ["HEADRACE_API__TOKEN_SECRET"] = secrets.token_hex(32)
        _log.warning(
            "HEADRACE_API__TOKEN_SECRET is not set: tokens are signed with a random one, and are "
            "worth nothing to other replicas or after a restart"
        )
    folder = settings.api.metrics_dir
    made = folder is None
    folder = folder or Path(tempfile.mkdtemp(prefix="headrace-metrics-"))
    folder.mkdir(parents=True, exist_ok=True)
    for stale in folder.glob("*.db"):
        stale.unlink()
    # Read by prometheus_client when a worker imports it.
    environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)
    try:
        _serve(settings.api)
    finally:
        if made:
            shutil.rmtree(folder, ignore_errors=True)


def _serve(api: ApiSettings) -> None:
    from granian.constants import Interfaces, Loops
    from granian.server import Server

    # A fork of a process with threads may hang, and would inherit our imports and signal handlers.
    multiprocessing.set_start_method("spawn", force=True)
    Server(
        "headrace.serve:create",
        factory=True,
        address=api.host,
        port=api.port,
        interface=Interfaces.ASGI,
        loop=Loops.asyncio,
        workers=api.workers,
        backlog=_BACKLOG,
        log_access=False,
        respawn_failed_workers=True,
        respawn_interval=_RESPAWN_S,
        workers_kill_timeout=10,
        ssl_cert=api.tls_certificate,
        ssl_key=api.tls_key,
        websockets=False,
    ).serve()
