"""The engine's own topics: msgpack structs that only Headrace writes, and the dead letter (JSON).

Bounded all the same: what is read from a topic was written by whoever may write to it.
"""

import base64
from typing import Annotated, Final

import msgspec

from contracts.errors import BadMessageError
from contracts.events import MAX_TIMESTAMP_MS, Id

MOST_SERVED: Final = 1000  # videos of one impression; a page has at most 100
_Text = Annotated[str, msgspec.Meta(max_length=256)]
_Int64 = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
_TimeMs = Annotated[int, msgspec.Meta(ge=0, le=MAX_TIMESTAMP_MS)]
_Index = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]
# Finite, and small enough that sums of them fit into float32.
_Mass = Annotated[float, msgspec.Meta(ge=-1e15, le=1e15)]
_SERVED = msgspec.Meta(max_length=MOST_SERVED)
_FEW = msgspec.Meta(max_length=256)


class Impression(msgspec.Struct, gc=False, frozen=True, omit_defaults=True):
    """What one feed request served, on `impressions`, key user_id. Lists are parallel, best first.

    Attributes:
        at_ms: when the page was answered, by the server's clock.
        positions: 0-based, counted across the pages of one session of paging.
        propensities: probability that the policy put this video here; 1.0 where it had no choice.
        features: column name -> little-endian float32 bytes, one value a video, as the ranker saw it.
    """

    request_id: _Text
    user_id: Id
    at_ms: _TimeMs
    surface: _Text
    bundle: _Text
    variant: _Text
    rung: _Text
    country: _Text | None
    video_ids: Annotated[tuple[Id, ...], _SERVED]
    positions: Annotated[tuple[_Index, ...], _SERVED]
    propensities: Annotated[tuple[Annotated[float, msgspec.Meta(ge=0, le=1)], ...], _SERVED]
    features: Annotated[dict[_Text, bytes], _FEW] = {}


class Neighbours(msgspec.Struct, gc=False, frozen=True):
    """A bounded, approximate top-k of videos watched in the same sessions, strongest first."""

    ids: Annotated[tuple[_Int64, ...], _FEW]
    weights: Annotated[tuple[_Mass, ...], _FEW]


class VideoStats(msgspec.Struct, gc=False, frozen=True):
    """The state (never an increment) of one video in one source partition, on `video-stats`.

    Key `video_id_hash|source`. Readers sum over sources after decaying each to a common time.

    Attributes:
        video: 64-bit hash of the video's id.
        source: "events:3", the partition whose events are counted here.
        at_ms: the time that the decayed values below belong to.
        counts: impressions, clicks, completes, likes, skips; half-life `stats.count_half_life`.
        trend: robust count (each person at most once per window); half-life `stats.trend_half_life`.
        trend_by_country: packed ISO code -> the same, for the countries that matter most.
        version: how far the source is folded in it; readers pass over one that is older than theirs.
    """

    video: _Int64
    source: _Text
    at_ms: _TimeMs
    counts: tuple[_Mass, _Mass, _Mass, _Mass, _Mass]
    trend: _Mass
    trend_by_country: Annotated[dict[Annotated[int, msgspec.Meta(ge=0, le=0xFFFF)], _Mass], _FEW]
    neighbours: Neighbours
    version: _Int64 = 0


class DeadLetter(msgspec.Struct, gc=False, frozen=True):
    """A message that could not be used, with all that is needed to replay it. JSON."""

    payload_base64: str
    reason: str
    topic: str
    partition: int
    offset: int
    at: Annotated[int, msgspec.Meta(description="Milliseconds since 1970 UTC.")]

    @classmethod
    def of(
        cls, payload: bytes, reason: str, topic: str, partition: int, offset: int, at: int
    ) -> "DeadLetter":
        """The letter for `payload`; the reason is cut at 500 characters."""
        return cls(base64.b64encode(payload).decode(), reason[:500], topic, partition, offset, at)

    @property
    def payload(self) -> bytes:
        """The message as it arrived."""
        return base64.b64decode(self.payload_base64)


_packer = msgspec.msgpack.Encoder()
_json = msgspec.json.Encoder()
_stats = msgspec.msgpack.Decoder(VideoStats)
_impression = msgspec.msgpack.Decoder(Impression)
_letter = msgspec.json.Decoder(DeadLetter)


def encode_record(record: Impression | VideoStats) -> bytes:
    """Msgpack of a record of the engine's own topics."""
    return _packer.encode(record)


def encode_dead_letter(letter: DeadLetter) -> bytes:
    """JSON of a dead letter."""
    return _json.encode(letter)


def decode_stats(payload: bytes) -> VideoStats:
    """Raises BadMessageError if the bytes are not a `VideoStats`."""
    try:
        stats = _stats.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as e:
        raise BadMessageError(f"not video statistics: {e}") from None
    if len(stats.neighbours.ids) != len(stats.neighbours.weights):
        raise BadMessageError("not video statistics: neighbours and weights differ in number")
    return stats


def decode_impression(payload: bytes) -> Impression:
    """Raises BadMessageError if the bytes are not an `Impression`, or its lists differ in length."""
    try:
        served = _impression.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as e:
        raise BadMessageError(f"not an impression: {e}") from None
    if not len(served.video_ids) == len(served.positions) == len(served.propensities):
        raise BadMessageError("not an impression: its lists differ in length")
    return served


def decode_dead_letter(payload: bytes) -> DeadLetter:
    """Raises BadMessageError if the bytes are not a dead letter."""
    try:
        letter = _letter.decode(payload)
        base64.b64decode(letter.payload_base64)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError) as e:
        raise BadMessageError(f"not a dead letter: {e}") from None
    return letter
