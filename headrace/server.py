"""The parent of the API's worker processes: one port, one folder of metrics, one signing secret."""

import logging
import multiprocessing
import resource
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
_PING_MS: Final = 30_000  # ends HTTP/2 connections whose other end is gone
_MOST_HEADERS_BYTES: Final = 65_536
_OWN_FILES: Final = 512  # what a worker opens besides connections: Redis, Kafka, snapshots, metrics
# For glibc, read when a worker starts; another allocator or system passes them over. By its defaults
# large arrays that come and go end up in an arena for each thread: a quarter of a worker's memory was
# holes, and grew (docs/LOG.md).
_ALLOCATOR: Final = {
    "MALLOC_ARENA_MAX": "2",
    "MALLOC_MMAP_THRESHOLD_": "524288",
    "MALLOC_TRIM_THRESHOLD_": "16777216",
}


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
    # A product on all cores at once keeps the other workers, and this one's requests, waiting; and the
    # fork of a snapshot ends OpenBLAS's other threads under a product, which then waits for ever.
    environ["OPENBLAS_NUM_THREADS"] = "1"
    for variable, value in _ALLOCATOR.items():
        environ.setdefault(variable, value)
    try:
        _serve(settings.api)
    finally:
        if made:
            shutil.rmtree(folder, ignore_errors=True)


def _serve(api: ApiSettings) -> None:
    from granian.constants import Interfaces, Loops
    from granian.http import HTTP1Settings, HTTP2Settings
    from granian.server import Server

    # A fork of a process with threads may hang, and would inherit our imports and signal handlers.
    multiprocessing.set_start_method("spawn", force=True)
    Server(
        "headrace.serve:create",
        factory=True,
        address=api.host,
        port=api.port,
        interface=Interfaces.ASGI,
        loop=Loops.uvloop,
        workers=api.workers,
        backlog=_BACKLOG,
        # Granian's limit of requests at once is one of connections: at its default, which is the
        # backlog, 2,048 that say nothing keep everybody else out.
        backpressure=_connections(api.connections),
        http1_settings=HTTP1Settings(header_read_timeout=round(1000 * api.header_timeout_s)),
        http2_settings=HTTP2Settings(
            keep_alive_interval=_PING_MS, max_headers_size=_MOST_HEADERS_BYTES
        ),
        log_access=False,
        respawn_failed_workers=True,
        respawn_interval=_RESPAWN_S,
        workers_kill_timeout=10,
        ssl_cert=api.tls_certificate,
        ssl_key=api.tls_key,
        websockets=False,
    ).serve()


def _connections(wanted: int) -> int:
    """As many as the limit of open files leaves, which is raised as far as it may be."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + _OWN_FILES
    allowed = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    if soft != resource.RLIM_INFINITY and soft < allowed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    if allowed < needed:
        _log.warning("the limit of open files is %d: %d connections", hard, allowed - _OWN_FILES)
    return max(allowed - _OWN_FILES, 16)
