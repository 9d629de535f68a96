"""What hostile bytes are thrown at: every decoder, and everything that what it decodes flows through.

A target takes any bytes. It returns, or it has found something: no decoder raises anything but its
one declared error with a reason, and what decodes goes through the folds, the vector flow and the
catalog without an exception and leaves only finite numbers. Hypothesis and the coverage-guided
fuzzer share these.
"""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, Final, TypeVar, cast

import msgspec
import numpy as np
from confluent_kafka import Message
from numpy.typing import NDArray

from api.tokens import Tokens
from contracts.engine_records import decode_dead_letter
from contracts.errors import BadMessageError, ConfigError, HeadraceError, TokenError
from contracts.lineup import decode_lineup, decode_published, encode_model
from contracts.models import Bundle
from contracts.settings import ModelSettings, StatsSettings, UserSettings
from contracts.stats_rows import StatsColumns, decode
from contracts.user_record import user_dtype
from contracts.videos import Video, decode_vector, encode_vector
from index_updater.embedding_size import EmbeddingSize
from index_updater.vector_flow import VectorWriter, decode_videos
from index_updater.vectors import unit_halves
from model_runtime import bundles
from operators.blobs import from_blobs
from operators.catalog import Catalog
from operators.describe import describe
from operators.event_columns import RawMessages
from operators.features.history import liked_videos
from operators.features.protocol import Records
from operators.nearness import embedding_of
from operators.offsets import slot_key
from operators.stat_columns import stat_events
from operators.stats_board import StatsBoard
from operators.user_fold import UserFold
from operators.video_stats import PartitionStats
from streams.batches import Batch
from streams.catalog_follower import apply_vectors
from streams.positions import Position, Stored, durable_offsets
from streams.stats_flow import _shown
from streams.user_batch import UserBatch, decode_batch
from streams.user_flow import UserWriter
from streams.user_store import Loaded

NOW_MS: Final = 1_790_000_000_000
TOLERANCE_MS: Final = 300_000
STATS: Final = StatsSettings(videos_per_partition=64, viewers_per_partition=64)
Target = Callable[[bytes], None]
T = TypeVar("T")


def reading(read: Callable[[], T], error: type[HeadraceError] = BadMessageError) -> T | None:
    """What was read, None if it was refused with a reason; nothing else may be raised."""
    try:
        return read()
    except error as e:
        reason = str(e)
    assert reason
    return None


@cache
def bundle() -> Bundle:
    return bundles.load(ModelSettings())


def fold_batch(records: Records, batch: UserBatch) -> None:
    """The user flow's step between reading and writing; its clients are not asked anything."""
    fold, absent = UserFold(bundle(), catalog(), UserSettings()), cast(Any, None)
    writer = UserWriter(absent, fold, UserSettings(), absent, absent, lambda: NOW_MS)
    writer._fold(batch, Loaded(records, [], {}))


@cache
def vector_writer() -> VectorWriter:
    """The vector flow's step; with the size of embeddings set, nothing but the tower is asked."""
    absent = cast(Any, None)
    return VectorWriter((bundle(),), EmbeddingSize(absent, "", 4), absent, absent, absent, absent)


@cache
def catalog() -> Catalog:
    """Videos that hostile events may name."""
    videos = [Video(f"v{i}", NOW_MS, f"clip {i}", category="c", tags=("t",)) for i in range(4)]
    made = Catalog(bundle().items.dim)
    made.upsert(videos, bundle().items.embed(videos), [(0, i) for i in range(len(videos))])
    return made


def raw(topic: str, values: Sequence[bytes | None], key: bytes | None = b"u") -> RawMessages:
    n = len(values)
    return RawMessages(
        values, [key] * n, np.full(n, slot_key(0, topic, 0)), np.arange(n),
        np.full(n, NOW_MS, np.int64),
    )  # fmt: skip


def numbers_of(records: Records) -> dict[str, NDArray[Any]]:
    """The floating-point fields of records."""
    names = records.dtype.names or ()
    return {name: records[name] for name in names if records[name].dtype.kind == "f"}


def assert_finite(records: Records) -> None:
    for name, values in numbers_of(records).items():
        assert np.isfinite(values).all(), f"{name} is not finite"


def assert_readable(state: Any) -> None:
    """What the feed, and GET of a person, read from a record."""
    msgspec.json.encode(describe(state, catalog().name_of, lambda _: None))
    liked, weights = liked_videos(state, 8)
    assert len(liked) == len(weights)
    assert np.isfinite(weights).all()


def user_messages(topic: str, values: Sequence[bytes | None], key: bytes | None = b"u") -> None:
    """Through the user flow: decoded twice, so that what is decoded meets a state of its own."""
    messages = raw(topic, values, key)
    batch = decode_batch(Batch({topic: messages}, {}, {}), TOLERANCE_MS)
    bad = [letter for _, _, letters in batch.bad for letter in letters]
    assert all(letter.reason for letter in bad)
    assert len(bad) + decoded_of(batch) == len(values)
    dtype = user_dtype(bundle().users.hidden, bundle().users.dim)
    records = from_blobs([None] * len(batch.users), dtype)
    fold_batch(records, batch)
    assert_finite(records)
    for state in records:
        assert_readable(state)
    again = from_blobs([state.tobytes() for state in records], dtype)
    assert again.tobytes() == records.tobytes()


def decoded_of(batch: UserBatch) -> int:
    return len(batch.events) + len(batch.profiles) + len(batch.shown)


def an_event(payload: bytes) -> None:
    user_messages("events", [payload])
    columns = decode_batch(Batch({"events": raw("events", [payload])}, {}, {}), TOLERANCE_MS).events
    stats = PartitionStats("events:0", STATS)
    stats.fold_events(stat_events(columns, np.arange(len(columns))))
    published(stats)


def published(stats: PartitionStats) -> None:
    """What a partition publishes reaches the board, and what it stores is read again."""
    changes = stats.changed()
    board(changes.states)
    PartitionStats.restore(stats.source, STATS, changes.set)


def board(states: StatsColumns) -> None:
    made = StatsBoard(STATS)
    made.apply(states)
    made.refresh(NOW_MS, lambda ids: np.zeros(len(ids), np.uint32))
    ids = states.rows["video"].astype(np.int64)
    for values in made.rates(ids, NOW_MS).values():
        assert np.isfinite(values).all()
    for found in (made.trending(), made.neighbours(ids, np.ones(len(ids), np.float32), 10)):
        assert np.isfinite(found[1]).all()


def a_profile(payload: bytes) -> None:
    user_messages("profiles", [payload])


def a_forgotten_person(key: bytes) -> None:
    user_messages("profiles", [None], key)


def an_impression(payload: bytes) -> None:
    user_messages("impressions", [payload])
    messages = raw("impressions", [payload])
    shown = _shown(messages, np.arange(1))
    stats = PartitionStats("impressions:0", STATS)
    stats.fold_impressions(shown.video, shown.country, shown.ts_ms)
    published(stats)


def a_video(payload: bytes | None, key: bytes | None = b"v") -> None:
    batch = decode_videos(Batch({"videos": raw("videos", [payload], key)}, {}, {}), TOLERANCE_MS)
    vectors, bad = vector_writer()._embed(bundle(), batch.published)
    bad = [*batch.bad, *bad]
    assert all(letter.reason for letter in bad)
    assert len(bad) + len(vectors) + len(batch.removed) == 1
    for _, key_out, value, headers in vector_writer()._records(batch, vectors, again=False):
        followed(key_out, value, headers)


def a_removed_video(key: bytes) -> None:
    a_video(None, key)


def a_vector(payload: bytes) -> None:
    followed(b"v", payload, [])
    if (record := reading(lambda: decode_vector(payload))) is not None:
        assert decode_vector(encode_vector(record)) == record


def a_removed_vector(header: bytes) -> None:
    followed(b"v0", None, [("source", header)])
    followed(b"v0", b"", [("source", header)])


def followed(key: bytes, value: bytes | None, headers: Any) -> None:
    """Through the follower of a serving process: catalog, index, and a snapshot of both."""
    known = Catalog(bundle().items.dim)
    message = Message(topic="t", partition=0, offset=1, key=key, value=value, headers=headers)
    change = apply_vectors(known, bundle().id, [message])
    unit_halves(change.vectors, change.ids, known.dim)  # what the index does with them first
    assert len(known) == len(change.ids)
    rows = known.rows_of(change.ids)
    assert np.isfinite(known.vectors(rows)).all()
    again = Catalog.restore(known.state())
    assert [again.video_id(r) for r in again.rows_of(change.ids)] == [
        known.video_id(r) for r in rows
    ]


def statistics(payload: bytes) -> None:
    states, bad = decode([payload])
    assert len(states) + len(bad) == 1
    board(states)


def a_lineup(payload: bytes) -> None:
    if (lineup := reading(lambda: decode_lineup(payload))) is not None:
        assert decode_lineup(encode_model(lineup)) == lineup
        assert 1 <= len(lineup.bundles) <= 2


def a_published_bundle(payload: bytes) -> None:
    if (said := reading(lambda: decode_published(payload))) is not None:
        assert decode_published(encode_model(said)) == said


def a_dead_letter(payload: bytes) -> None:
    if (letter := reading(lambda: decode_dead_letter(payload))) is not None:
        assert isinstance(letter.payload, bytes)


def a_blob(blob: bytes) -> None:
    """A stored state as Redis might give it back; it meets an event and a feed."""
    dtype = user_dtype(bundle().users.hidden, bundle().users.dim)
    records = reading(lambda: from_blobs([blob], dtype), ConfigError)
    if records is None:
        return
    events = [
        b'{"event_id":"%d","user_id":"u","event_type":"like","timestamp":%d,"video_id":"v%d"}'
        % (i, NOW_MS, i)
        for i in range(3)
    ]
    batch = decode_batch(Batch({"events": raw("events", events)}, {}, {}), TOLERANCE_MS)
    with np.errstate(all="ignore"):  # it may hold any numbers; what is not finite ranks last
        assert_readable(records[0])
        fold_batch(records, batch)
        assert_readable(records[0])
        embedding_of(records[0], bundle())


def a_stored_position(value: bytes) -> None:
    reading(lambda: Stored.parse(value), ConfigError)
    reading(lambda: durable_offsets({b"events:0": value}), ConfigError)


def stored_statistics(payload: bytes) -> None:
    """A hash of fields: each a length of the name, one of the content (two bytes), and both."""
    fields, at = {}, 0
    while at + 3 <= len(payload):
        name, size = payload[at], int.from_bytes(payload[at + 1 : at + 3], "little")
        fields[payload[at + 3 : at + 3 + name]] = payload[at + 3 + name : at + 3 + name + size]
        at += 3 + name + size
    stats = reading(lambda: PartitionStats.restore("events:0", STATS, fields), ConfigError)
    if stats is not None:
        stats.changed()


_TOKENS: Final = Tokens(b"k" * 32)


def a_token(payload: bytes) -> None:
    text = payload.decode("utf-8", "replace")
    reading(lambda: _TOKENS.open_tracking(text), TokenError)
    reading(lambda: _TOKENS.open_page("feed:0", "u", text), TokenError)
    reading(lambda: Position.parse(text), TokenError)


TARGETS: Final[dict[str, Target]] = {
    target.__name__: target
    for target in (
        an_event, a_profile, a_forgotten_person, an_impression, a_video, a_removed_video, a_vector,
        a_removed_vector, statistics, a_lineup, a_published_bundle, a_dead_letter, a_blob,
        a_stored_position, stored_statistics, a_token,
    )
}  # fmt: skip
