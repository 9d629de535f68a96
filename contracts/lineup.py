"""The `models` topic: which bundles were published (key: bundle id) and which are in use (`@lineup`).

One record says everything about what is in use, so a promotion that is cut off anywhere leaves exactly
one live bundle. JSON: it is read by people too.
"""

from typing import Annotated, Final

import msgspec

from contracts.errors import BadMessageError
from contracts.events import MAX_TIMESTAMP_MS

LINEUP_KEY: Final = b"@lineup"  # no bundle can be called so
_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
_TimeMs = Annotated[int, msgspec.Meta(ge=0, le=MAX_TIMESTAMP_MS)]


class Published(msgspec.Struct, frozen=True, omit_defaults=True):
    """A bundle that lies in the registry; `seal` is that of its manifest."""

    id: _Name
    kind: str
    dim: int
    hidden: int
    seal: str
    published_ms: _TimeMs = 0
    metrics: dict[str, float] = {}


class Lineup(msgspec.Struct, frozen=True, omit_defaults=True):
    """The bundles in use.

    Attributes:
        live: the one that answers.
        beside: another one that every process computes and holds, so that it can take over in one
            step: the next one while it is made ready, the last one after the switch. At most one,
            so that memory is bounded.
        since_ms: when it was said.
    """

    live: _Name
    beside: _Name | None = None
    since_ms: _TimeMs = 0

    @property
    def bundles(self) -> tuple[str, ...]:
        """Live first."""
        return (self.live,) if self.beside in (None, self.live) else (self.live, str(self.beside))


_published = msgspec.json.Decoder(Published)
_lineup = msgspec.json.Decoder(Lineup)
_json = msgspec.json.Encoder()


def encode_model(record: Published | Lineup) -> bytes:
    """JSON of a record of the topic."""
    return _json.encode(record)


def decode_published(payload: bytes) -> Published:
    """Raises BadMessageError if the bytes are not a `Published`."""
    try:
        return _published.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as e:
        raise BadMessageError(f"not a published bundle: {e}") from None


def decode_lineup(payload: bytes) -> Lineup:
    """Raises BadMessageError if the bytes are not a `Lineup`."""
    try:
        return _lineup.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as e:
        raise BadMessageError(f"not a lineup: {e}") from None
