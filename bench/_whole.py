"""A whole engine with a big catalog, viewers with a past, and load: what several benchmarks need."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil

from bench._catalog import BigCatalog, ends
from bench._engine import Engine, until
from bench._report import Figure, progress
from headrace.servers.process import free_port
from streams.positions import Stored

Json = dict[str, Any]


def tree_cpu_s(process: psutil.Process) -> float:
    """Processor seconds of a process and its living children."""
    total = 0.0
    for each in [process, *process.children(recursive=True)]:
        times = each.cpu_times()
        total += times.user + times.system
    return total


def load(what: str, at: str, wait: bool = False, **options: object) -> Any:
    """A generator as a process (`finish` reads it), or what it said if it is waited for."""
    said = [f"--{name}={value}" for name, value in options.items()]
    child = subprocess.Popen(
        [sys.executable, "-m", "bench._load", what, "--at", at, *said], stdout=subprocess.PIPE
    )
    return finish(child) if wait else child


def finish(child: "subprocess.Popen[bytes]") -> Json:
    """The generator's last line.

    Raises:
        RuntimeError: it failed.
    """
    out, _ = child.communicate(timeout=600)
    if child.returncode:
        raise RuntimeError(f"a load generator ended with status {child.returncode}")
    said: Json = json.loads(out.splitlines()[-1])
    return said


def stop(child: "subprocess.Popen[bytes]") -> Json:
    """End a generator in order; its last line."""
    child.terminate()
    return finish(child)


def generators(said_by: Sequence[Json], names: Sequence[str]) -> list[Figure]:
    """What each generator sent, and the share of a core that it took."""
    out = []
    for name, said in zip(names, said_by, strict=True):
        out.append(Figure(f"load generator: {name}", said["per_s"], "1/s"))
        out.append(Figure(f"load generator: {name}", said["cpu_s"] / said["took_s"], "cores"))
    return out


def start(running: Engine, big: BigCatalog, viewers: int, past: int) -> None:
    """Catalog, flows, and `past` events of each viewer, folded."""
    big.produce(running.kafka_settings)
    for flow in ("user-state", "video-stats", "video-vectors"):
        running.flow(flow)
    progress("folding the viewers' past")
    options = {"videos": big.world.n, "viewers": viewers, "seconds": viewers * past, "seed": 9}
    load("events", running.kafka.bootstrap, wait=True, **options)
    with running.client() as client:
        key = running.keys.positions("user-state")

        def folded() -> bool:
            stored = {s.decode(): Stored.parse(raw) for s, raw in client.hgetall(key).items()}
            wanted = ends(running.kafka_settings, "events")
            return all(s in stored and stored[s].offset >= end for s, (_, end) in wanted.items())

        until(folded, 300, "the viewers' past to be folded", running.processes["user-state"])


def serve(
    running: Engine, big: BigCatalog, workers: int, name: str, code: Path | None = None
) -> tuple[str, psutil.Process]:
    """URL and process of an API from its own snapshot; of another checkout if `code` says so."""
    folder = running.folder / f"snapshot-{name}"
    big.snapshot_for(running.kafka_settings, folder)
    port = free_port()
    environ = {
        "HEADRACE_INDEX__SNAPSHOT_DIR": str(folder),
        "HEADRACE_API__PORT": str(port),
        "HEADRACE_API__WORKERS": str(workers),
        "PYTHONPATH": str(code or Path.cwd()),
        "PYTHONSAFEPATH": "1",  # else the folder that we are in comes first
    }
    process = running.start(name, "serve", **environ)
    url = f"http://127.0.0.1:{port}"

    def ready() -> bool:
        try:
            return httpx.get(f"{url}/readyz", timeout=1.0, trust_env=False).status_code == 200
        except httpx.HTTPError:
            return False

    until(ready, 600, f"{name} to be ready", process)
    return url, psutil.Process(process.pid)


def buckets(url: str, name: str) -> dict[float, float]:
    """Upper bound -> observations so far of a histogram of the API, over all labels."""
    out: dict[float, float] = {}
    for line in httpx.get(f"{url}/metrics", timeout=10.0, trust_env=False).text.splitlines():
        if line.startswith(f"{name}_bucket"):
            bound = float(line.split('le="')[1].split('"')[0])
            out[bound] = out.get(bound, 0.0) + float(line.rsplit(" ", 1)[1])
    return out


def quantile_ms(counts: Mapping[float, float], q: float) -> float:
    """Of cumulative bucket counts, linear within a bucket; the last bound where it is beyond."""
    below, low = 0.0, 0.0
    for bound, count in sorted(counts.items()):
        if count >= q * max(counts.values()):
            if not np.isfinite(bound):
                return low * 1000
            share = (q * max(counts.values()) - below) / max(count - below, 1e-9)
            return (low + share * (bound - low)) * 1000
        below, low = count, bound
    return low * 1000
