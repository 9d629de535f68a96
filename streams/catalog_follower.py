"""`video-vectors` -> the columnar catalog, for every process that needs to know what a video is."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from confluent_kafka import Message

from contracts.batch import Ids, Mask
from contracts.errors import BadMessageError
from contracts.ids import hash64, hash64_many
from contracts.models import F32
from contracts.videos import VideoVector, decode_vector
from operators.catalog import Catalog
from operators.versions import Version, is_older

_log = logging.getLogger(__name__)
_OFF_UNIT: Final = 0.01  # towers normalise; what is further off was not made by one
# "partition:offset" on `videos`: of what a tombstone removes, and of what is said once more because a
# bundle has come. Who stands there need not read the message.
SOURCE_HEADER: Final = "source"


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
    left out: a score never mixes bundles. So is, unread, what was said before and is here.
    """
    latest: dict[str, tuple[Version | None, VideoVector | None]] = {}
    for said in _usable(_news(catalog, messages), bundle_id, catalog.dim):
        before, _ = latest.get(said.video_id, (None, None))
        if said.version is None or not is_older(said.version, before):
            latest.pop(said.video_id, None)
            latest[said.video_id] = said.version, said.record
    removed = [
        hash64(video_id)
        for video_id, (version, record) in latest.items()
        if record is None and catalog.remove(video_id, version)
    ]
    return _upsert(catalog, [r for _, r in latest.values() if r is not None], removed)


@dataclass(slots=True)
class _Said:
    """A message: what it is about, and the version that its header names.

    Attributes:
        record: of an upsert, once it was read.
    """

    message: Message
    video_id: str
    version: Version | None
    record: VideoVector | None = None


def _news(catalog: Catalog, messages: Sequence[Message]) -> list[_Said]:
    """All but the repetitions of what is here. A new bundle makes each video said once more."""
    said = [_Said(m, _video_id(m), _version(m)) for m in messages]
    repeated = [s for s in said if s.version is not None and s.message.value() is not None]
    if not repeated:
        return said
    here = catalog.stand_at(
        hash64_many([s.video_id for s in repeated]),
        np.array([s.version for s in repeated], np.int64),
    )
    known = {id(s) for s, is_here in zip(repeated, here.tolist(), strict=True) if is_here}
    return [s for s in said if id(s) not in known]


def _usable(said: Sequence[_Said], bundle_id: str, dim: int) -> list[_Said]:
    """Removals, and upserts that have a vector of this bundle."""
    vectors: list[bytes] = []
    usable: list[_Said] = []
    for s in said:
        value = s.message.value()
        if value is not None:
            s.record = _record(s.message, value, bundle_id)
            if s.record is None or len(s.record.vector) != 4 * dim:
                continue
            s.version = s.record.source_partition, s.record.source_offset
            vectors.append(s.record.vector)
        usable.append(s)
    are = iter(_are_directions(vectors, dim).tolist())
    return [s for s in usable if s.record is None or next(are)]


def _record(message: Message, value: bytes, bundle_id: str) -> VideoVector | None:
    """What an upsert says; None if it is not for us."""
    try:
        return decode_vector(value).of(bundle_id)
    except BadMessageError as e:  # only the engine writes here: a bug, said and passed over
        _log.error("video-vectors %s@%s: %s", message.partition(), message.offset(), e)
        return None


def _upsert(catalog: Catalog, records: Sequence[VideoVector], removed: Sequence[int]) -> Change:
    vectors = _stacked([r.vector for r in records], catalog.dim)
    versions = [(r.source_partition, r.source_offset) for r in records]
    applied = catalog.upsert([r.video for r in records], vectors, versions)
    kept = [r for r, ok in zip(records, applied.tolist(), strict=True) if ok]
    return Change(
        np.array(removed, np.int64),
        hash64_many([r.video.video_id for r in kept]),
        vectors[applied],
        np.array([r.produced_ms for r in kept], np.int64),
    )


def _video_id(message: Message) -> str:
    key = message.key() or b""
    return key if isinstance(key, str) else key.decode("utf-8", "replace")


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


def _stacked(vectors: Sequence[bytes], dim: int) -> F32:
    """(n, d) of vectors as they stand on the wire."""
    return np.frombuffer(b"".join(vectors), "<f4").reshape(len(vectors), dim)


def _are_directions(vectors: Sequence[bytes], dim: int) -> Mask:
    """(n,) whether each is of unit length, as half precision can hold it."""
    rows = _stacked(vectors, dim).astype(np.float64)
    lengths = np.sqrt(np.einsum("nd,nd->n", rows, rows))
    return np.asarray(np.abs(lengths - 1.0) < _OFF_UNIT)  # NaN is not
