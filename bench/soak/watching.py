"""Looks at processes from outside: memory, handles, threads, processor time."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import psutil


@dataclass(frozen=True, slots=True)
class Look:
    """One process and, if it is a parent of workers, its children.

    Attributes:
        rss_mb: resident memory; of a family the shared pages count once.
        cpu_s: used since it started.
        pids: who was looked at; of a parent the workers, not what they fork for a moment.
    """

    rss_mb: float
    handles: int
    threads: int
    cpu_s: float
    pids: frozenset[int]


class Watched:
    """One process by its id; with its children, unless they are passing ones."""

    def __init__(self, pid: int, children: bool = False) -> None:
        self._process, self._children = psutil.Process(pid), children

    def look(self) -> Look | None:
        """None once it has ended."""
        try:
            if not self._children:
                return _sum([self._process], shared=False)
            all_of_them = [self._process, *self._process.children(recursive=True)]
            workers = frozenset(p.pid for p in self._process.children())
            return replace(_sum(all_of_them, shared=True), pids=workers)
        except psutil.NoSuchProcess:
            return None


def _sum(processes: list[psutil.Process], shared: bool) -> Look:
    rss = handles = threads = 0
    cpu_s = 0.0
    for process in processes:
        with process.oneshot():
            # A worker forks to save its graph: pages that two share are half of each one's.
            rss += process.memory_full_info().pss if shared else process.memory_info().rss
            handles += process.num_fds()
            threads += process.num_threads()
            used = process.cpu_times()
            cpu_s += used.user + used.system
    pids = frozenset(p.pid for p in processes)
    return Look(rss / 1e6, handles, threads, cpu_s, pids)


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
