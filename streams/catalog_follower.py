"""`video-vectors` -> the columnar catalog, for every process that needs to know what a video is."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from confluent_kafka import Message

from contracts.batch import Ids
from contracts.errors import BadMessageError
from contracts.ids import hash64
from contracts.models import F32
from contracts.videos import VideoVector, decode_vector
from operators.catalog import Catalog
from operators.versions import Version, is_older

_log = logging.getLogger(__name__)
_OFF_UNIT: Final = 0.01  # towers normalise; what is further off was not made by one
SOURCE_HEADER: Final = "source"  # "partition:offset" on `videos` of what a tombstone removes


@dataclass(frozen=True, slots=True, eq=False)
class Change:
    """What a run of messages did to the catalog, in order: first removals, then upserts.

    Attributes:
        removed: (m,) ids that are gone.
        ids, vectors: (n,) and (n, d) float32 of new or changed videos.
        produced_ms: (n,) int64 producer's timestamps of those.
    """

    removed: Ids
    ids: Ids
    vectors: F32
    produced_ms: Ids


def apply_vectors(catalog: Catalog, bundle_id: str, messages: Sequence[Message]) -> Change:
    """Bring the catalog forward by messages of `video-vectors`; the newest version of a video wins.

    That is the later one, unless a worker that had slept wrote it. Vectors of other bundles are
    left out: a score never mixes bundles. So is what was said before and is here.
    """
    latest: dict[str, tuple[Version | None, VideoVector | None]] = {}
    for m in messages:
        key = m.key() or b""
        video_id = key if isinstance(key, str) else key.decode("utf-8", "replace")
        record = None if m.value() is None else _record(m, bundle_id, catalog)
        if m.value() is not None and record is None:
            continue
        version = _version(m) if record is None else (record.source_partition, record.source_offset)
        before, _ = latest.get(video_id, (None, None))
        if version is None or not is_older(version, before):
            latest.pop(video_id, None)
            latest[video_id] = version, record
    removed = [
        hash64(video_id)
        for video_id, (version, record) in latest.items()
        if record is None and catalog.remove(video_id, version)
    ]
    return _upsert(catalog, [r for _, r in latest.values() if r is not None], removed)


def _record(message: Message, bundle_id: str, catalog: Catalog) -> VideoVector | None:
    """What an upsert says; None if it is not for us."""
    try:
        record = decode_vector(message.value() or b"").of(bundle_id)
    except BadMessageError as e:  # only the engine writes here: a bug, said and passed over
        _log.error("video-vectors %s@%s: %s", message.partition(), message.offset(), e)
        return None
    if record is None or not _is_direction(record.vector, catalog.dim):
        return None
    if record.again:
        version = record.source_partition, record.source_offset
        return None if catalog.stands_at(hash64(record.video.video_id), version) else record
    return record


def _upsert(catalog: Catalog, records: Sequence[VideoVector], removed: Sequence[int]) -> Change:
    vectors = np.frombuffer(b"".join(r.vector for r in records), np.float32)
    vectors = vectors.reshape(len(records), catalog.dim)
    versions = [(r.source_partition, r.source_offset) for r in records]
    applied = catalog.upsert([r.video for r in records], vectors, versions)
    kept = [r for r, ok in zip(records, applied.tolist(), strict=True) if ok]
    return Change(
        np.array(removed, np.int64),
        np.array([hash64(r.video.video_id) for r in kept], np.int64),
        vectors[applied],
        np.array([r.produced_ms for r in kept], np.int64),
    )


def _version(message: Message) -> tuple[int, int] | None:
    raw = dict(message.headers() or []).get(SOURCE_HEADER)
    if raw is None:
        return None
    text = raw if isinstance(raw, str) else raw.decode("utf-8", "replace")
    partition, _, offset = text.partition(":")
    if not _is_number(partition, 9) or not _is_number(offset, 18):
        return None
    return int(partition), int(offset)


def _is_number(text: str, digits: int) -> bool:
    """An int64 for certain: a snapshot keeps it."""
    return text.isascii() and text.isdigit() and len(text) <= digits


def _is_direction(vector: bytes, dim: int) -> bool:
    """Whether the bytes are `dim` float32 of unit length, as half precision can hold them."""
    if len(vector) != 4 * dim:
        return False
    length = float(np.linalg.norm(np.frombuffer(vector, "<f4").astype(np.float64)))
    return abs(length - 1.0) < _OFF_UNIT  # NaN is not
