"""How a replay goes: for a progress bar, for the live view's file, and for the summary."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from headrace.replay.rows import Message, Refused, Source

FILE: Final = "replay.json"  # in the state directory
_EVERY_S: Final = 0.5
_KEPT: Final = 20  # refused rows that are shown; all are counted


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a replay is. `share` is of the rows of all files."""

    name: str
    share: float
    produced: int
    refused: int
    done: bool = False


Tell = Callable[[Progress], None]


@dataclass(slots=True, eq=False)
class Teller:
    """Counts what passes, keeps the first refused rows, and tells about it now and then."""

    name: str
    sources: Sequence[Source]
    tell: Tell
    produced: int = 0
    refused: int = 0
    examples: list[Refused] = field(default_factory=list)
    _next_s: float = 0.0

    def good(self, items: Iterable[Message | Refused]) -> Iterator[Message]:
        """The messages; refused rows are counted and left out."""
        for item in items:
            if not isinstance(item, Refused):
                yield item
                continue
            self.refused += 1
            if len(self.examples) < _KEPT:
                self.examples.append(item)

    def sent(self) -> None:
        """One message was sent."""
        self.produced += 1
        self.look()

    def look(self) -> None:
        """Tell, if it is time to."""
        if (now_s := time.monotonic()) >= self._next_s:
            self._next_s = now_s + _EVERY_S
            self.now()

    def now(self, done: bool = False) -> None:
        """Tell at once."""
        size = sum(source.size for source in self.sources)
        share = sum(source.done for source in self.sources) / size if size else 1.0
        self.tell(Progress(self.name, min(share, 1.0), self.produced, self.refused, done))
