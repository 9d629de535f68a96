"""Looks at processes from outside: memory, handles, threads, processor time."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

import psutil


@dataclass(frozen=True, slots=True)
class Look:
    """One process and, if it is a parent of workers, its children.

    Attributes:
        rss_mb: resident memory; of a family the shared pages count once.
        cpu_s: used since it started.
        pids: of a parent its workers, not what they fork for a moment.
    """

    rss_mb: float
    handles: int
    threads: int
    cpu_s: float
    pids: frozenset[int] = frozenset()


class Watched:
    """One process by its id; with its children, unless they are passing ones."""

    def __init__(self, pid: int, children: bool = False) -> None:
        self._process, self._children = psutil.Process(pid), children

    def look(self) -> Look | None:
        """None once it has ended."""
        try:
            workers = self._process.children() if self._children else []
            looks = [_one(process, self._children) for process in (self._process, *workers)]
        except psutil.NoSuchProcess:
            return None
        for worker in workers:
            looks += _passing(worker)
        return Look(
            sum(look.rss_mb for look in looks),
            sum(look.handles for look in looks),
            sum(look.threads for look in looks),
            sum(look.cpu_s for look in looks),
            frozenset(worker.pid for worker in workers),
        )


def _passing(worker: psutil.Process) -> list[Look]:
    """What a worker forked for a moment, and may be gone before it is looked at."""
    looks = []
    with suppress(psutil.NoSuchProcess):
        for process in worker.children(recursive=True):
            looks.append(_one(process, shared=True))
    return looks


def _one(process: psutil.Process, shared: bool) -> Look:
    with process.oneshot():
        # A worker forks to save its graph: pages that two share are half of each one's.
        rss = process.memory_full_info().pss if shared else process.memory_info().rss
        used = process.cpu_times()
        return Look(
            rss / 1e6,
            process.num_fds(),
            process.num_threads(),
            used.user + used.system,
        )


class Shares:
    """Processor share of each process since the last look, in percent of one core."""

    def __init__(self) -> None:
        self._before: dict[str, float] = {}
        self._busy_s, self._at_s = _busy_s(), 0.0

    def of(self, looks: Mapping[str, Look | None], now_s: float) -> dict[str, float]:
        """Name -> share; "others" is what the rest of the machine used."""
        busy_s, span_s, out, ours = _busy_s(), now_s - self._at_s, {}, 0.0
        for name, look in looks.items():
            if look is None:
                continue
            used = look.cpu_s - self._before.get(name, look.cpu_s)
            self._before[name] = look.cpu_s
            ours += max(used, 0.0)
            out[name] = 100 * max(used, 0.0) / span_s
        out["others"] = 100 * max(busy_s - self._busy_s - ours, 0.0) / span_s
        first = not self._at_s
        self._busy_s, self._at_s = busy_s, now_s
        return {} if first else out


def _busy_s() -> float:
    times = psutil.cpu_times()
    idle = times.idle + getattr(times, "iowait", 0.0)
    return float(sum(times[:8]) - idle)
