"""The engine's own topics: msgpack structs that only Headrace writes, and the dead letter (JSON)."""

import base64
from typing import Annotated

import msgspec

from contracts.errors import BadMessageError


class Impression(msgspec.Struct, gc=False, frozen=True, omit_defaults=True):
    """What one feed request served, on `impressions`, key user_id. Lists are parallel, best first.

    Attributes:
        at_ms: when the page was answered, by the server's clock.
        positions: 0-based, counted across the pages of one session of paging.
        propensities: probability that the policy put this video here; 1.0 where it had no choice.
        features: column name -> little-endian float32 bytes, one value a video, as the ranker saw it.
    """

    request_id: str
    user_id: str
    at_ms: int
    surface: str
    bundle: str
    variant: str
    rung: str
    country: str | None
    video_ids: tuple[str, ...]
    positions: tuple[int, ...]
    propensities: tuple[float, ...]
    features: dict[str, bytes] = {}


class Neighbours(msgspec.Struct, gc=False, frozen=True):
    """A bounded, approximate top-k of videos watched in the same sessions, strongest first."""

    ids: tuple[int, ...]
    weights: tuple[float, ...]


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
    """

    video: int
    source: str
    at_ms: int
    counts: tuple[float, float, float, float, float]
    trend: float
    trend_by_country: dict[int, float]
    neighbours: Neighbours


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
        return _stats.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as e:
        raise BadMessageError(f"not video statistics: {e}") from None


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
        return _letter.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError) as e:
        raise BadMessageError(f"not a dead letter: {e}") from None
