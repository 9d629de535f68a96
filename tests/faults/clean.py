"""One clean fold of the log in one process, and how the engine's state is held against it."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from confluent_kafka import Message

from contracts.batch import Ids
from contracts.engine_records import VideoStats, decode_impression
from contracts.ids import hash64, pack_country
from contracts.models import F32, Bundle
from contracts.settings import ModelSettings, Settings
from contracts.stats_rows import decode
from contracts.user_record import new_users, user_dtype
from contracts.videos import Video, decode_video
from index_updater import snapshot
from model_runtime import bundles
from operators.blobs import from_blobs
from operators.catalog import Catalog
from operators.derive import derive
from operators.event_columns import RawMessages, decode_events
from operators.features.protocol import Records
from operators.features.seen import fold_shown
from operators.offsets import slot_key
from operators.stat_columns import stat_events
from operators.user_fold import UserFold
from operators.video_stats import PartitionStats
from streams.batches import Batch
from streams.user_batch import decode_batch
from tests.faults.world import World
from tests.stats_records import to_records

Log = Mapping[int, Sequence[Message]]
# What a clean fold of the log cannot know: how often it was written, when, and from which offset.
NOT_COMPARED: Final = ("version", "folded_ms", "newest_ms", "slot_key", "slot_offset", "form")


def bundle() -> Bundle:
    """The one that ships."""
    return bundles.load(ModelSettings())


def raw(log: Log, topic: str) -> RawMessages:
    """A whole topic as one batch, partition by partition."""
    messages = [(p, m) for p in sorted(log) for m in log[p]]
    return RawMessages(
        [m.value() for _, m in messages],
        [_bytes(m.key()) for _, m in messages],
        np.array([slot_key(0, topic, p) for p, _ in messages], np.int64),
        np.array([m.offset() for _, m in messages], np.int64),
        np.array([m.timestamp()[1] for _, m in messages], np.int64),
    )


def _bytes(key: str | bytes | None) -> bytes:
    return key.encode() if isinstance(key, str) else key or b""


def videos(log: Log) -> dict[str, Video]:
    """What is published in the end: the last message of each video counts."""
    last: dict[str, Video | None] = {}
    for messages in log.values():
        for m in messages:
            value = m.value()
            video = None if value is None else decode_video(value)
            key = _bytes(m.key()).decode()
            last[key] = None if video is None or video.status == "removed" else video
    return {key: video for key, video in last.items() if video is not None}


def users(
    events: RawMessages, shown: RawMessages, published: Sequence[Video], settings: Settings
) -> tuple[list[str], Records]:
    """Everybody whom the log names, and the state that they have to have."""
    tower = bundle()
    catalog = Catalog(tower.items.dim)
    catalog.upsert(published, tower.items.embed(published), [(0, i) for i in range(len(published))])
    batch = decode_batch(
        Batch({"events": events, "impressions": shown}, {}, {}), settings.user.future_tolerance_ms
    )
    records = new_users(len(batch.users), user_dtype(tower.users.hidden, tower.users.dim))
    derive(records, tower, catalog)
    UserFold(tower, catalog, settings.user)(records, batch.events, {}, 0)
    for row in batch.shown:
        whom, at_ms = np.full(len(row.ids), row.user), np.full(len(row.ids), row.at_ms)
        fold_shown(records, whom, row.ids, at_ms, settings.user.shown_for_h)
    return list(batch.users), records


def assert_users_equal(world: World) -> int:
    """Field by field, byte by byte; the number of people compared."""
    settings = world.settings
    published = [v for v in videos(world.log("videos")).values() if v.video_id.startswith("s")]
    events, shown = raw(world.log("events"), "events"), raw(world.log("impressions"), "impressions")
    names, clean = users(events, shown, published, settings)
    found = stored(world, names)
    for name in found.dtype.names or ():
        if name not in NOT_COMPARED:
            np.testing.assert_array_equal(found[name], clean[name], err_msg=name)
    return len(names)


def stored(world: World, names: Sequence[str]) -> Records:
    """The states that Redis holds."""
    tower, client = bundle(), world.client()
    blobs: Any = client.mget([world.keys.user(name) for name in names])
    client.close()
    return from_blobs(blobs, user_dtype(tower.users.hidden, tower.users.dim))


def counted(world: World) -> dict[str, tuple[int, int]]:
    """User -> distinct events in the log, events counted in their state: whatever folds, equal."""
    distinct: dict[str, set[str]] = {}
    batch, _ = decode_events(raw(world.log("events"), "events"), 300_000)
    for user, number in zip(batch.rows["user"], batch.rows["event_id"], strict=True):
        distinct.setdefault(batch.users[user], set()).add(str(number))
    names = list(distinct)
    records = stored(world, names)
    return {n: (len(distinct[n]), int(r["events"])) for n, r in zip(names, records, strict=True)}


def stats(world: World) -> dict[tuple[int, str], VideoStats]:
    """(video, source) -> the statistics that a clean fold of events and impressions gives."""
    settings = world.settings
    folded = [_events_of(p, ms, settings) for p, ms in world.log("events").items()]
    folded += [_shown_of(p, ms, settings) for p, ms in world.log("impressions").items()]
    return {(r.video, r.source): r for part in folded for r in to_records(part.changed().states)}


def _events_of(partition: int, messages: Sequence[Message], settings: Settings) -> PartitionStats:
    part = PartitionStats(f"events:{partition}", settings.stats)
    columns, _ = decode_events(
        raw({partition: messages}, "events"), settings.user.future_tolerance_ms
    )
    part.fold_events(stat_events(columns, np.arange(len(columns))))
    return part


def _shown_of(partition: int, messages: Sequence[Message], settings: Settings) -> PartitionStats:
    part = PartitionStats(f"impressions:{partition}", settings.stats)
    for m in messages:
        page = decode_impression(m.value() or b"")
        n = len(page.video_ids)
        part.fold_impressions(
            np.array([hash64(v) for v in page.video_ids], np.int64),
            np.full(n, pack_country(page.country), np.uint16),
            np.full(n, m.timestamp()[1], np.int64),
        )
    return part


def published_stats(world: World) -> dict[tuple[int, str], VideoStats]:
    """What `video-stats` says now."""
    latest: dict[bytes, bytes | None] = {}
    for messages in world.log("video-stats").values():
        for m in messages:
            latest[_bytes(m.key())] = m.value()
    states, bad = decode([value for value in latest.values() if value is not None])
    assert not bad
    return {(r.video, r.source): r for r in to_records(states)}


def assert_stats_equal(world: World) -> int:
    """Counts, trends and neighbours of every video and source; how many were compared."""
    found, clean = published_stats(world), stats(world)
    assert found.keys() == clean.keys()
    for key, state in clean.items():
        near = 1e-6
        assert found[key].at_ms == state.at_ms, key
        np.testing.assert_allclose(found[key].counts, state.counts, near, near, err_msg=str(key))
        np.testing.assert_allclose(found[key].trend, state.trend, near, near, err_msg=str(key))
        assert found[key].trend_by_country.keys() == state.trend_by_country.keys(), key
        assert set(found[key].neighbours.ids) == set(state.neighbours.ids), key
    return len(clean)


def vectors(published: Sequence[Video]) -> tuple[Ids, F32]:
    """Ids in rising order and the vectors that the item tower gives them."""
    ids = np.array([hash64(v.video_id) for v in published], np.int64)
    order = np.argsort(ids)
    return ids[order], bundle().items.embed(published)[order]


def assert_catalog_equal(catalog: Catalog, published: Sequence[Video]) -> None:
    """The same videos with the same titles and vectors, as far as half a float goes."""
    ids, embedded = vectors(published)
    np.testing.assert_array_equal(np.sort(catalog.live_ids()), ids)
    rows = catalog.rows_of(ids)
    np.testing.assert_allclose(catalog.vectors(rows), embedded, atol=1e-3)
    titles = {hash64(v.video_id): v.title for v in published}
    assert [catalog.title(int(row)) for row in rows] == [titles[i] for i in ids.tolist()]


def assert_served_equal(world: World) -> int:
    """Every published video is retrievable, no removed one is, and the API's own copy is equal.

    The copy is the snapshot that the API takes of its catalog and its index.
    """
    log = world.log("videos")
    published = videos(log)
    everything = {_bytes(m.key()).decode() for messages in log.values() for m in messages}
    for name in sorted(everything):
        world.until(
            lambda n=name: world.retrievable(n) == (n in published),  # type: ignore[misc]
            10,
            f"{name} to be {'there' if name in published else 'gone'}",
        )
    folder = world.settings.index.snapshot_dir
    assert folder is not None

    def equal() -> bool:
        found = snapshot.load(folder, world.settings.index)
        if found is None or set(found.catalog.live_ids()) != {hash64(v) for v in published}:
            return False
        assert_catalog_equal(found.catalog, list(published.values()))
        np.testing.assert_array_equal(np.sort(found.index.ids()), np.sort(found.catalog.live_ids()))
        return True

    world.until(equal, 60, "a snapshot of all that is published")
    return len(published)
