"""The `videos` topic (what is published) and `video-vectors` (the same, turned into a vector)."""

import math
from typing import Annotated, Final, Literal

import msgspec

from contracts.errors import BadMessageError
from contracts.events import MAX_TIMESTAMP_MS, DurationMs, Id, Timestamp

MAX_VIDEO_BYTES: Final = 262_144
MAX_EMBEDDING: Final = 4096

Label = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]


class Video(msgspec.Struct, gc=False, frozen=True, omit_defaults=True):
    """A published or changed video. No `countries` means everywhere."""

    video_id: Id
    published_at: Timestamp
    title: Annotated[str, msgspec.Meta(max_length=2048)] = ""
    description: Annotated[str, msgspec.Meta(max_length=65_536)] = ""
    tags: Annotated[tuple[Label, ...], msgspec.Meta(max_length=64)] = ()
    category: Annotated[str, msgspec.Meta(max_length=128)] | None = None
    language: Annotated[str, msgspec.Meta(max_length=64)] | None = None
    countries: Annotated[
        tuple[Annotated[str, msgspec.Meta(pattern="^[A-Za-z]{2}$")], ...],
        msgspec.Meta(max_length=300),
    ] = ()
    creator_id: Id | None = None
    duration_ms: DurationMs | None = None
    thumbnail_url: Annotated[str, msgspec.Meta(max_length=2048)] | None = None
    min_age: Annotated[int, msgspec.Meta(ge=0, le=99)] = 0
    status: Literal["published", "removed"] = "published"
    sponsored: bool = False
    embedding: Annotated[tuple[float, ...], msgspec.Meta(max_length=MAX_EMBEDDING)] | None = None


class VideoVector(msgspec.Struct, gc=False, frozen=True, omit_defaults=True):
    """A video as the serving replicas follow it: msgpack on `video-vectors`, key video_id.

    Attributes:
        vector: (d,) little-endian float32, unit length, of bundle `bundle`, which was live then.
        source_partition, source_offset: where the video stood on `videos`; an older offset never
            overwrites a newer one.
        produced_ms: the producer's clock (the broker's timestamp of the `videos` message).
        others: bundle -> vector, of the bundles that are held beside the live one.
    """

    video: Video
    bundle: Annotated[str, msgspec.Meta(max_length=256)]
    vector: bytes
    source_partition: Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]
    source_offset: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
    produced_ms: Annotated[int, msgspec.Meta(ge=0, le=MAX_TIMESTAMP_MS)]
    others: Annotated[
        dict[Annotated[str, msgspec.Meta(max_length=256)], bytes], msgspec.Meta(max_length=4)
    ] = {}

    def of(self, bundle: str) -> "VideoVector | None":
        """The record with this bundle's vector as its own; None if it has none."""
        if bundle == self.bundle:
            return self
        vector = self.others.get(bundle)
        return (
            None if vector is None else msgspec.structs.replace(self, bundle=bundle, vector=vector)
        )


_video = msgspec.json.Decoder(Video)
_vector = msgspec.msgpack.Decoder(VideoVector)
_json = msgspec.json.Encoder()
_msgpack = msgspec.msgpack.Encoder()


def decode_video(payload: bytes) -> Video:
    """One video from its JSON.

    Raises:
        BadMessageError: with the reason; nothing else, whatever the bytes are.
    """
    if len(payload) > MAX_VIDEO_BYTES:
        raise BadMessageError(f"video of {len(payload)} bytes, at most {MAX_VIDEO_BYTES} are taken")
    try:
        video = _video.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as e:
        raise BadMessageError(f"not a video: {e}") from None
    return _finite(video)


def _finite(video: Video) -> Video:
    if video.embedding is not None and not all(map(math.isfinite, video.embedding)):
        raise BadMessageError("not a video: embedding has a value that is not finite")
    return video


def encode_video(video: Video) -> bytes:
    """JSON bytes that `decode_video` turns back into an equal video."""
    return _json.encode(video)


def decode_vector(payload: bytes) -> VideoVector:
    """One `video-vectors` record.

    Raises:
        BadMessageError: if it is not one.
    """
    try:
        record = _vector.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as e:
        raise BadMessageError(f"not a video vector: {e}") from None
    for vector in (record.vector, *record.others.values()):
        if not vector or len(vector) % 4:
            raise BadMessageError(f"not a video vector: {len(vector)} bytes of float32")
    _finite(record.video)
    return record


def encode_vector(record: VideoVector) -> bytes:
    """Msgpack bytes of one `video-vectors` record."""
    return _msgpack.encode(record)
