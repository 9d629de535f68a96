"""Keeps child processes running: one that dies is started again, with a growing pause, and said so.

Use it from the main thread: the kernel ties a child to the thread that started it (see `tether`).
"""

import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from headrace.servers.process import Process

FIRST_PAUSE_S: Final = 0.2
LONGEST_PAUSE_S: Final = 10.0
HEALTHY_AFTER_S: Final = 30.0  # alive for so long, the next pause is the first one again

Say = Callable[[str, str], None]  # name of the part, sentence


@dataclass(slots=True, eq=False)
class Part:
    """One supervised process.

    Attributes:
        start: starts the process; may wait until it serves. Raising counts as dying.
        deaths: in a row, without a healthy time in between.
        restarts: ever.
    """

    name: str
    process: Process
    start: Callable[[], object]
    deaths: int = 0
    restarts: int = 0
    started_s: float = 0.0
    again_s: float | None = field(default=None)

    @property
    def pause_s(self) -> float:
        """Seconds to wait before the next start."""
        return min(FIRST_PAUSE_S * 2.0 ** max(self.deaths - 1, 0), LONGEST_PAUSE_S)


class Supervisor:
    """Parts in the order of their start; stopped in the opposite order."""

    def __init__(self, say: Say) -> None:
        self._say = say
        self.parts: list[Part] = []

    def start(
        self, name: str, process: Process, now_s: float, start: Callable[[], object] | None = None
    ) -> Part:
        """Start a process and watch it from now on.

        Raises:
            HeadraceError: what `start` raises; the part is not watched then.
        """
        part = Part(name, process, start or process.start, started_s=now_s)
        part.start()
        self.parts.append(part)
        return part

    def look(self, now_s: float) -> None:
        """Notice the dead, and start again those whose pause is over. Call it a few times a second."""
        for part in self.parts:
            if part.again_s is not None:
                if now_s >= part.again_s:
                    self._again(part, now_s)
            elif not part.process.running:
                self._died(part, now_s, _status(part.process.returncode))

    def _died(self, part: Part, now_s: float, how: str) -> None:
        if now_s - part.started_s >= HEALTHY_AFTER_S:
            part.deaths = 0
        part.deaths += 1
        part.again_s = now_s + part.pause_s
        self._say(part.name, f"{how}; starting it again in {part.pause_s:.1f} s")

    def _again(self, part: Part, now_s: float) -> None:
        part.again_s, part.started_s = None, now_s
        part.restarts += 1
        try:
            part.start()
        except Exception as e:  # whatever it is: say it, wait longer, try again
            self._died(part, now_s, f"did not start ({e})")
            return
        self._say(part.name, f"is running again, process {part.process.pid}")

    def stop(self, names: Callable[[str], bool] = lambda _: True, timeout_s: float = 10.0) -> None:
        """SIGTERM to every chosen part at once, SIGKILL to what has not ended in time."""
        chosen = [part for part in reversed(self.parts) if names(part.name)]
        self.parts = [part for part in self.parts if not names(part.name)]
        for part in chosen:
            part.process.send(signal.SIGCONT)
            part.process.send(signal.SIGTERM)
        for part in chosen:
            part.process.wait(timeout_s)


def _status(code: int | None) -> str:
    if code is not None and code < 0:
        return f"was ended by {signal.Signals(-code).name}"
    return f"ended with status {code}"
