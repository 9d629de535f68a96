"""Holds a replay to its clock and to its highest rate."""

import threading
import time
from collections.abc import Callable
from typing import Final

from headrace.replay.clock import Clock
from headrace.replay.rows import Message

_WORTH_MS: Final = 2  # a shorter wait costs more than it is good for
_LOOK_EVERY: Final = 64  # messages between two looks at the rate
_SLICE_S: Final = 0.25  # a longer wait is cut, so that the caller can be told how it goes


class Pace:
    """Call `wait` before each message; `idle` is called at times while it waits."""

    def __init__(
        self,
        clock: Clock,
        max_rate: float,
        stop: threading.Event,
        idle: Callable[[], None] = lambda: None,
    ) -> None:
        self._clock = clock
        self._stop = stop
        self._max_rate = max_rate
        self._idle = idle
        self._sent = 0
        self._began_s = time.monotonic()

    def wait(self, message: Message) -> bool:
        """Wait until the message is due; True when the replay has to stop."""
        while True:
            ahead_s = (self._clock.due_ms(message) - time.time_ns() // 1_000_000) / 1000
            if ahead_s * 1000 < _WORTH_MS or self._stop.wait(min(ahead_s, _SLICE_S)):
                break
            self._idle()
        self._sent += 1
        if self._sent % _LOOK_EVERY == 0:
            ahead_s = self._sent / self._max_rate - (time.monotonic() - self._began_s)
            if ahead_s > 0:
                self._stop.wait(ahead_s)
        return self._stop.is_set()
