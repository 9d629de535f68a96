"""When is a recorded message sent, and which time does it bear then? Pure."""

from dataclasses import dataclass
from enum import Enum

import msgspec

from contracts.events import Event
from contracts.videos import Video
from headrace.replay.rows import Message, time_of


class Shift(Enum):
    """What happens to recorded times.

    NOW: the replay happens now. An event bears the moment at which it is sent, so that freshness
    can be measured; what lies before the log keeps its distance to the beginning.
    END: distances stay and the last message happened just now: yesterday's log as a fresh history.
    KEEP: as recorded.
    """

    NOW = "now"
    END = "end"
    KEEP = "keep"


@dataclass(frozen=True, slots=True)
class Clock:
    """Maps recorded time to the time of the replay.

    Attributes:
        first_ms: recorded time of the first event; last_ms: of the last (only END needs it).
        start_ms: when the replay begins.
        speed: recorded seconds per second; 0 = as fast as possible.
    """

    first_ms: int
    last_ms: int
    start_ms: int
    speed: float
    shift: Shift

    def due_ms(self, message: Message) -> int:
        """When to send it: at once for what lies before the log, or when speed is 0."""
        at_ms = time_of(message)
        if at_ms is None or self.speed <= 0:
            return self.start_ms
        return self.start_ms + max(0, int((at_ms - self.first_ms) / self.speed))

    def stamped(self, message: Message, now_ms: int) -> Message:
        """The message with the time that it bears in the replay, sent at `now_ms`."""
        at_ms = time_of(message)
        if at_ms is None or self.shift is Shift.KEEP:
            return message
        moved = max(1, self._moved(at_ms, now_ms))
        if isinstance(message, Event):
            return msgspec.structs.replace(message, timestamp=moved)
        if isinstance(message, Video):
            return msgspec.structs.replace(message, published_at=moved)
        return msgspec.structs.replace(message, created_at=moved)

    def _moved(self, at_ms: int, now_ms: int) -> int:
        if self.shift is Shift.END:
            return self.start_ms + at_ms - self.last_ms
        if at_ms < self.first_ms:
            return self.start_ms + at_ms - self.first_ms
        return now_ms
