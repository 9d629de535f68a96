"""The vector flow: published videos -> item tower, in micro-batches -> `video-vectors`.

Its output is states, never increments: a replay publishes the same records again, and readers pass
over what is older than what they hold. So the position moves after Kafka has the vectors.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
import numpy as np

from contracts.errors import BadMessageError, UnavailableError
from contracts.events import id_of_key, to_ms
from contracts.metrics import VECTORS
from contracts.models import F32, Bundle
from contracts.topics import VIDEO_VECTORS
from contracts.videos import Video, VideoVector, decode_video, encode_vector
from index_updater.embedding_size import EmbeddingSize
from operators.event_columns import Bad, RawMessages
from streams.batches import Batch
from streams.catalog_follower import SOURCE_HEADER
from streams.dead_letters import DeadLetters
from streams.kafka import Headers, Publisher
from streams.reader import PartitionReader
from streams.user_store import UserStore

Record = tuple[int, bytes, bytes | None, Headers]

FLOW: Final = "video-vectors"
TOPICS: Final = ("videos",)
_FLUSH_S: Final = 30.0


@dataclass(frozen=True, slots=True, eq=False)
class VideoBatch:
    """A decoded micro-batch: rows of `raw` that publish, that remove, and that are bad."""

    source: Batch
    raw: RawMessages
    published: Sequence[tuple[int, Video]]
    removed: Sequence[tuple[int, bytes]]
    bad: Sequence[Bad]


def decode_videos(batch: Batch, tolerance_ms: int) -> VideoBatch:
    """Decode; nothing raises. A `published_at` far in the future is taken as the broker's time."""
    raw = batch.messages["videos"]
    published, removed, bad = [], [], []
    for i, value in enumerate(raw.values):
        try:
            if value is None:
                removed.append((i, id_of_key(raw.keys[i], "video").encode()))
                continue
            video = decode_video(value)
        except BadMessageError as e:
            bad.append(Bad(i, str(e)))
            continue
        if video.status == "removed":
            removed.append((i, video.video_id.encode()))
        else:
            broker_ms = int(raw.broker_ms[i])
            if to_ms(video.published_at) > broker_ms + tolerance_ms:
                video = msgspec.structs.replace(video, published_at=broker_ms)
            published.append((i, video))
    return VideoBatch(batch, raw, published, removed, bad)


@dataclass(slots=True)
class VectorWriter:
    """The sink's step: one batch of videos, published when `write` returns.

    Attributes:
        bundles: those that vectors are made for, the live one first; replaced as a whole, between
            batches.
    """

    bundles: Sequence[Bundle]
    sizes: EmbeddingSize
    publisher: Publisher
    letters: DeadLetters
    store: UserStore
    reader: PartitionReader

    def write(self, batch: VideoBatch) -> None:
        """Embed and publish, then move the position.

        Raises:
            FencedError: the stored position moved; the batch has to be read again.
            UnavailableError, redis.RedisError: try again.
        """
        vectors, bad = self._embed(self.bundles[0], batch.published)
        self.letters.send("videos", batch.raw, [*batch.bad, *bad], "malformed")
        self.store.check(batch.source.before)
        self._publish(self._records(batch, vectors, again=False))
        VECTORS.labels("embedded").inc(len(vectors))
        VECTORS.labels("removed").inc(len(batch.removed))
        self.store.move(batch.source.before, batch.source.after)
        self.reader.stored(batch.source.after)

    def repeat(self, batch: VideoBatch) -> None:
        """Publish again what was published before, for bundles that came later. No position moves.

        Raises:
            FencedError: the stored position moved; somebody else may publish these videos.
            UnavailableError, redis.RedisError: try again.
        """
        vectors, _ = self._embed(self.bundles[0], batch.published)
        self.store.check(batch.source.before)
        self._publish(self._records(batch, vectors, again=True))
        VECTORS.labels("repeated").inc(len(vectors))

    def _publish(self, records: list[Record]) -> None:
        failed: list[str] = []
        for _, key, value, headers in sorted(records, key=lambda m: m[0]):
            self.publisher.produce(
                VIDEO_VECTORS.name,
                key,
                value,
                lambda error, _: failed.append(str(error)) if error else None,
                headers,
            )
        self.publisher.flush(_FLUSH_S)
        if failed:
            raise UnavailableError(f"vectors were refused: {failed[0]}")

    def _records(self, batch: VideoBatch, vectors: dict[int, F32], again: bool) -> list[Record]:
        """(row, key, value, headers) of everything to publish.

        A video that another bundle refuses is missing there, and nowhere else.
        """
        raw = batch.raw
        live, *others = self.bundles
        usable = [(i, video) for i, video in batch.published if i in vectors]
        beside = {other.id: self._embed(other, usable)[0] for other in others}
        place = [
            f"{int(k) & 0xFF_FFFF}:{int(o)}".encode()
            for k, o in zip(raw.slot_keys, raw.offsets, strict=True)
        ]
        out: list[Record] = [
            (i, key, None, [(SOURCE_HEADER, place[i])]) for i, key in batch.removed
        ]
        for i, video in batch.published:
            if i in vectors:
                record = VideoVector(
                    video=video_without_embedding(video),
                    bundle=live.id,
                    vector=vectors[i].astype("<f4").tobytes(),
                    source_partition=int(raw.slot_keys[i]) & 0xFF_FFFF,
                    source_offset=int(raw.offsets[i]),
                    produced_ms=int(raw.broker_ms[i]),
                    others={
                        name: theirs[i].astype("<f4").tobytes()
                        for name, theirs in beside.items()
                        if i in theirs
                    },
                )
                headers: Headers = [(SOURCE_HEADER, place[i])] if again else []
                out.append((i, video.video_id.encode(), encode_vector(record), headers))
        return out

    def _embed(
        self, bundle: Bundle, published: Sequence[tuple[int, Video]]
    ) -> tuple[dict[int, F32], list[Bad]]:
        """Row -> (d,) vector; a video that the tower refuses does not take the others with it."""
        if not published:
            return {}, []
        bad = [Bad(i, p) for i, video in published if (p := self.sizes.problem_of(video))]
        wrong = {b.index for b in bad}
        right = [(i, video) for i, video in published if i not in wrong]
        try:
            vectors = bundle.items.embed([video for _, video in right])
            return {i: vectors[n] for n, (i, _) in enumerate(right)}, bad
        except BadMessageError:
            pass
        good: dict[int, F32] = {}
        for i, video in right:
            try:
                good[i] = np.asarray(bundle.items.embed([video])[0])
            except BadMessageError as e:
                bad.append(Bad(i, str(e)))
        return good, bad


def video_without_embedding(video: Video) -> Video:
    """The vector is what embedding and description became: followers need not carry them."""
    return msgspec.structs.replace(video, embedding=None, description="")
