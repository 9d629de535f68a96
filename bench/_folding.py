"""The user flow folds a topic that is full: how fast, and what that costs each process on the machine."""

import statistics
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final, cast

import httpx
from redis import Redis

from bench._engine import Engine, until
from bench._events import moved
from contracts.settings import ModelSettings
from contracts.topics import EVENTS
from contracts.user_record import user_dtype
from headrace.dashboard.histograms import Scrape, parse, total
from headrace.servers.process import Process, free_port
from headrace.servers.redis import EmbeddedRedis
from model_runtime import bundles
from operators.blobs import from_blobs
from streams.user_flow import FLOW

PHASES: Final = ("load", "fold", "write")
_LOOK_S: Final = 0.01


@dataclass(frozen=True, slots=True)
class Cost:
    """One run, from the first position that moved to the last.

    Attributes:
        rate: events per second.
        worker_us, redis_us, broker_us: processor time per event, in microseconds.
        batch_events: events per micro-batch; 0 where it is not known.
        rss_mb: the largest resident size of the worker.
        phases: phase of the flow -> wall-clock microseconds per event.
    """

    rate: float
    worker_us: float
    redis_us: float
    broker_us: float
    batch_events: float
    rss_mb: float
    phases: dict[str, float]


def median(runs: Sequence[Cost]) -> Cost:
    """Each figure's own median."""
    middle: dict[str, Any] = {
        f.name: statistics.median(getattr(run, f.name) for run in runs)
        for f in fields(Cost)
        if f.name != "phases"
    }
    names = runs[0].phases
    return Cost(**middle, phases={n: statistics.median(r.phases[n] for r in runs) for n in names})


@contextmanager
def fresh_redis(engine: Engine, durable: bool = True) -> Iterator[EmbeddedRedis]:
    """An empty Redis, with an append-only file of its own: what the runs before wrote is not there."""
    folder = engine.folder / f"redis-{free_port()}"
    with EmbeddedRedis(folder, durable=durable) as server:
        yield server
    for path in sorted(folder.rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()


def fold(engine: Engine, events: int, processes: int = 1, **environ: str) -> Cost:
    """Fold the first `events` of topic `events` into an empty Redis, by the command of production.

    Raises:
        TimeoutError: it did not get there.
        ValueError: the states do not hold every event exactly once.
    """
    with fresh_redis(engine) as server, Redis.from_url(server.url) as client:
        environ |= {"HEADRACE_REDIS__URL": server.url}
        ports = [free_port() for _ in range(processes)]
        workers = [_worker(engine, k, ports, environ) for k in range(processes)]
        watched = [*workers, server.process, engine.kafka.process]

        def done() -> int:
            return moved(client, engine.keys.positions(FLOW), EVENTS.name)

        until(lambda: done() > 0, 600, "the first batch", workers[0], _LOOK_S)
        first, before = done(), [engine.cpu_s(p.pid) for p in watched]
        took_s = until(lambda: done() >= events, 600, "the last batch", workers[0], _LOOK_S)
        spent = [engine.cpu_s(p.pid) - b for p, b in zip(watched, before, strict=True)]
        each = 1e6 / (events - first)
        said = [scraped(port) for port in ports]
        rss_mb = max(peak_mb(p.pid) for p in workers)
        for k in range(processes):
            engine.stop(_name(k))
        check_counts(client, engine, events)
    seconds = {name: _phase(said, name, "sum") for name in PHASES}
    return Cost(
        rate=(events - first) / took_s,
        worker_us=sum(spent[:processes]) * each,
        redis_us=spent[-2] * each,
        broker_us=spent[-1] * each,
        batch_events=events / _phase(said, "write", "count"),
        rss_mb=rss_mb,
        phases={name: s / events * 1e6 for name, s in seconds.items()},
    )


def _phase(scrapes: Sequence[Scrape], phase: str, part: str) -> float:
    return total(scrapes, f"headrace_batch_seconds_{part}", flow=FLOW, phase=phase)


def _name(k: int) -> str:
    return f"{FLOW}-{k}"


def _worker(engine: Engine, k: int, ports: Sequence[int], environ: dict[str, str]) -> Process:
    share = {
        "HEADRACE_STREAM__PROCESS_INDEX": str(k),
        "HEADRACE_STREAM__PROCESS_COUNT": str(len(ports)),
        "HEADRACE_METRICS__PORT": str(ports[k]),
    }
    return engine.start(_name(k), "stream", FLOW, **environ, **share)


def scraped(port: int) -> Scrape:
    """The metrics of a flow that serves them on `port`."""
    return parse(httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False).text)


def peak_mb(pid: int) -> float:
    """Largest resident size of a process so far, in megabytes."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024 / 1e6


def check_counts(client: Redis, engine: Engine, events: int) -> None:
    """Look that all states together hold every event once.

    Raises:
        ValueError: they do not.
    """
    tower = bundles.load(ModelSettings()).users
    dtype = user_dtype(tower.hidden, tower.dim)
    counted, keys = 0, list(client.scan_iter(match=engine.keys.user("*"), count=1000))
    for start in range(0, len(keys), 1000):
        blobs = cast(list[bytes | None], client.mget(keys[start : start + 1000]))
        counted += int(from_blobs(blobs, dtype)["events"].sum())
    if counted != events:
        raise ValueError(f"{events} events were sent, and the states hold {counted}")
