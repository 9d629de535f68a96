"""What the generators share: an open-loop pace, an end in time, and a line of JSON a second."""

import json
import resource
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

from bench.soak.world import World

TICK_S: Final = 0.01
_MOST_S: Final = 1.0  # of work made up for at once, after the machine held us up


class Pace:
    """How many are due by now at a rate; those that cannot be made up for are counted as skipped."""

    def __init__(self, per_s: float, began_s: float) -> None:
        self._per_s, self._began_s = per_s, began_s
        self._done = 0
        self.skipped = 0

    def due(self, now_s: float) -> int:
        """Since the last call."""
        behind = int((now_s - self._began_s) * self._per_s) - self._done
        self._done += max(behind, 0)
        take = min(max(behind, 0), max(int(self._per_s * _MOST_S), 1))
        self.skipped += max(behind, 0) - take
        return take


def ticks(world: World) -> Iterator[float]:
    """The time, every 10 ms from the beginning of the run to its end."""
    time.sleep(max(0.0, world.began_s - time.time()))
    while (now_s := time.time()) < world.ends_s:
        yield now_s
        time.sleep(max(0.0, TICK_S - (time.time() - now_s)))


class Teller:
    """Prints one line of JSON a second, for whoever reads the generator's log."""

    def __init__(self, content: Callable[[], dict[str, Any]]) -> None:
        self._content, self._next_s = content, 0.0

    def tell(self, now_s: float, final: bool = False) -> None:
        """If it is time."""
        if now_s < self._next_s and not final:
            return
        self._next_s = now_s + 1.0
        used = resource.getrusage(resource.RUSAGE_SELF)
        line = {"at_s": now_s, "cpu_s": used.ru_utime + used.ru_stime, **self._content()}
        print(json.dumps(line | {"final": final}), flush=True)


def world_of_arguments() -> World:
    """The world that the command line describes."""
    return World.of_json(sys.argv[1])
