"""Events, videos and profiles from JSON lines: one message per line, blank lines are skipped."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import orjson

from contracts.errors import BadMessageError
from contracts.events import decode_event
from contracts.profiles import decode_profile
from contracts.videos import decode_video
from headrace.replay.kinds import kind_of
from headrace.replay.rows import Kind, Message, Refused

DECODERS: Final[dict[Kind, Callable[[bytes], Message]]] = {
    Kind.EVENTS: decode_event,
    Kind.VIDEOS: decode_video,
    Kind.PROFILES: decode_profile,
}
_LONGEST_LINE: Final = 4 << 20
_LOOKED_AT: Final = 50


class JsonLines:
    """One file; its kind is that of the first of its lines that is a JSON object."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.kind = kind_of(path, _fields(path))
        self.size = path.stat().st_size
        self.done = 0

    def __iter__(self) -> Iterator[Message | Refused]:
        """Every line, in order."""
        decode, self.done, row = DECODERS[self.kind], 0, 0
        with self.path.open("rb") as lines:
            # A bounded readline: a file without line ends must not be read into memory whole.
            while line := lines.readline(_LONGEST_LINE):
                row += 1
                self.done += len(line)
                if len(line) == _LONGEST_LINE and not line.endswith(b"\n"):
                    yield Refused(self.path, row, f"a line of more than {_LONGEST_LINE} bytes")
                    while (rest := lines.readline(_LONGEST_LINE)) and not rest.endswith(b"\n"):
                        self.done += len(rest)
                    self.done += len(rest)
                elif text := line.strip():
                    yield self._decoded(decode, text, row)

    def _decoded(
        self, decode: Callable[[bytes], Message], text: bytes, row: int
    ) -> Message | Refused:
        try:
            return decode(text)
        except BadMessageError as e:
            return Refused(self.path, row, str(e))


def _fields(path: Path) -> set[str]:
    with path.open("rb") as lines:
        for _ in range(_LOOKED_AT):
            try:
                first = orjson.loads(lines.readline(_LONGEST_LINE))
            except orjson.JSONDecodeError:
                continue
            if isinstance(first, dict):
                return set(first)
    return set()
