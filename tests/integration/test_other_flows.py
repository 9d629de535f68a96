"""The statistics and the vector flow as processes: killed and restarted, they equal a clean fold."""

import time
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
from confluent_kafka import Consumer, TopicPartition

from contracts.engine_records import VideoStats
from contracts.events import Event, encode_event
from contracts.ids import hash64
from contracts.stats_rows import decode
from contracts.topics import VIDEOS as VIDEOS_TOPIC
from contracts.videos import Video, VideoVector, decode_vector, encode_video
from operators.event_columns import RawMessages, decode_events
from operators.offsets import slot_key
from operators.stat_columns import stat_events
from operators.video_stats import PartitionStats
from streams.dead_letters import read_dead_letters
from tests.integration.running import Deployment, eventually, made_anew
from tests.integration.user_logs import NOW_MS, VIDEOS, log_of
from tests.stats_records import to_records


def table(engine: Deployment, topic: str) -> dict[bytes, bytes]:
    """What a compacted topic says now: key -> latest value, tombstones left out."""
    name = engine.settings.kafka.topic_prefix + topic
    consumer = Consumer(
        {"bootstrap.servers": engine.settings.kafka.bootstrap, "group.id": "test.table"}
    )
    latest: dict[bytes, bytes | None] = {}
    parts = [TopicPartition(name, p, 0) for p in range(4)]
    left = {p.partition: consumer.get_watermark_offsets(p, timeout=10)[1] for p in parts}
    consumer.assign(parts)
    while any(
        at.offset < left[at.partition] for at in consumer.position(parts) if left[at.partition]
    ):
        for m in consumer.consume(1000, 0.2):
            key = m.key() or b""
            latest[key if isinstance(key, bytes) else key.encode()] = m.value()
    consumer.close()
    return {key: value for key, value in latest.items() if value is not None}


def stored(engine: Deployment, sources: Iterable[str]) -> dict[str, int]:
    """Offset up to which the statistics of each source are stored."""
    client = engine.redis
    try:
        found: Any = {s: client.hget(engine.keys.stats(s), "position") for s in sources}
    finally:
        client.close()
    return {s: 0 if raw is None else int(raw.split(b":")[2]) for s, raw in found.items()}


def stored_up_to(engine: Deployment, ends: dict[str, int]) -> bool:
    found = stored(engine, ends)
    return all(found[s] >= end for s, end in ends.items())


def published(engine: Deployment) -> dict[int, VideoStats]:
    """The statistics as readers see them, of the one partition that the test writes to."""
    states, bad = decode(list(table(engine, "video-stats").values()))
    assert not bad
    return {s.video: s for s in to_records(states)}


def clean_stats(engine: Deployment, events: list[Event], source: str) -> dict[int, VideoStats]:
    n = len(events)
    raw = RawMessages(
        [encode_event(e) for e in events], [None] * n, np.full(n, slot_key(0, "events", 0)),
        np.arange(n), np.full(n, 2 * NOW_MS),
    )  # fmt: skip
    stats = PartitionStats(source, engine.settings.stats)
    stats.fold_events(stat_events(decode_events(raw, 300_000)[0], np.arange(n)))
    return {record.video: record for record in to_records(stats.changed().states)}


@pytest.mark.faults
def test_statistics_of_a_flow_killed_under_load_equal_a_clean_fold(engine: Deployment) -> None:
    events = [e for e in log_of(6000, 40, seed=9) if e.video_id]
    often = {"HEADRACE_STREAM__FLUSH_EVERY_MS": "20", "HEADRACE_STREAM__BATCH_EVENTS": "50"}
    rng = np.random.default_rng(3)
    ends: dict[str, int] = {}
    for part in range(0, len(events), 2000):
        some = [("events", b"one partition", encode_event(e)) for e in events[part : part + 2000]]
        ends.update(engine.produce(some))
        process = engine.start_to_work("video-stats", lambda: stored(engine, ends), **often)
        time.sleep(float(rng.uniform(0.0, 0.1)))
        process.kill()
        process.wait()
    engine.start("video-stats", **often)
    eventually(lambda: stored_up_to(engine, ends))
    (source,) = ends
    found, clean = published(engine), clean_stats(engine, events, source)
    assert found.keys() == clean.keys()
    for video, state in clean.items():
        assert found[video].at_ms == state.at_ms
        assert found[video].counts == pytest.approx(state.counts, rel=1e-9)
        assert found[video].trend == pytest.approx(state.trend, rel=1e-9)
        assert sorted(found[video].neighbours.ids) == sorted(state.neighbours.ids)


def test_partitions_take_turns_and_all_of_them_are_published(engine: Deployment) -> None:
    events = [e for e in log_of(3000, 60, seed=11) if e.video_id]
    engine.start("video-stats", HEADRACE_STREAM__FLUSH_EVERY_MS="300")
    ends: dict[str, int] = {}
    for part in range(3):
        some = events[part * 1000 : (part + 1) * 1000]
        ends |= engine.produce([("events", e.user_id.encode(), encode_event(e)) for e in some])
        time.sleep(0.3)
    assert len(ends) > 4
    eventually(lambda: stored_up_to(engine, ends))
    states, _ = decode(list(table(engine, "video-stats").values()))
    assert set(states.rows["source"].tolist()) == {source.encode() for source in ends}


def vectors(engine: Deployment) -> dict[str, VideoVector]:
    found = map(decode_vector, table(engine, "video-vectors").values())
    return {v.video.video_id: v for v in found}


@pytest.mark.faults
def test_videos_published_while_the_flow_is_killed_all_become_vectors(engine: Deployment) -> None:
    rng = np.random.default_rng(3)
    ends: dict[str, int] = {}
    for part in range(0, len(VIDEOS), 5):
        ends.update(engine.send_videos(VIDEOS[part : part + 5]))
        process = engine.start_to_work(
            "video-vectors",
            lambda: engine.positions("video-vectors", [*ends]),
            HEADRACE_STREAM__BATCH_EVENTS="1",
        )
        time.sleep(float(rng.uniform(0.0, 0.1)))
        process.kill()
        process.wait()
    engine.start("video-vectors")
    eventually(lambda: engine.folded_up_to(ends, "video-vectors"))
    found = vectors(engine)
    assert found.keys() == {v.video_id for v in VIDEOS}
    for record in found.values():
        length = np.linalg.norm(np.frombuffer(record.vector, np.float32))
        assert length == pytest.approx(1, abs=1e-5)


def test_the_size_of_embeddings_is_agreed_on_once_and_survives_a_restart(
    engine: Deployment,
) -> None:
    def clip(name: str, *numbers: float) -> Video:
        return Video(name, NOW_MS, name, embedding=numbers)

    process = engine.start("video-vectors")
    ends = engine.send_videos([clip("first", 0.1, 0.2, 0.3)])
    eventually(lambda: engine.folded_up_to(ends, "video-vectors"))
    process.kill()
    process.wait()
    engine.start("video-vectors")
    ends |= engine.send_videos([clip("odd", 0.5, 0.5), clip("second", 0.3, 0.2, 0.1)])
    eventually(lambda: engine.folded_up_to(ends, "video-vectors"))
    assert vectors(engine).keys() == {"first", "second"}


def test_a_publication_in_the_far_future_counts_as_now(engine: Deployment) -> None:
    engine.start("video-vectors")
    ends = engine.send_videos([Video("early", 253_402_300_000_000, "from the year 9999")])
    eventually(lambda: engine.folded_up_to(ends, "video-vectors"))
    assert vectors(engine)["early"].video.published_at < 2 * NOW_MS


@pytest.mark.faults
def test_what_is_malformed_at_the_old_place_in_a_topic_made_again_is_buried_too(
    engine: Deployment,
) -> None:
    engine.start("video-vectors", HEADRACE_STREAM__PARTITIONS_EVERY_S="0.5")

    def bury(payload: bytes) -> tuple[str, int]:
        (place,) = engine.produce([("videos", b"one partition", payload)]).items()
        eventually(lambda: buried(engine).get(payload) == place, what=f"{payload!r} buried")
        return place

    first = bury(b"first")
    made_anew(engine.settings.kafka, VIDEOS_TOPIC)
    assert bury(b"second") == first


def buried(engine: Deployment) -> dict[bytes, tuple[str, int]]:
    """Payloads of all dead letters -> partition, and offset after it."""
    letters = [f.letter for f in read_dead_letters(engine.settings.kafka)]
    return {one.payload: (f"{one.topic}:{one.partition}", one.offset + 1) for one in letters}


def test_removed_and_malformed_videos_leave_the_others_alone(engine: Deployment) -> None:
    odd = Video("odd", NOW_MS, "two numbers", embedding=(0.5, 0.5))
    whole = Video("whole", NOW_MS, "three numbers", embedding=(0.1, 0.2, 0.3))
    gone = Video("gone", NOW_MS, status="removed")
    key = b"one partition"
    payloads = [
        encode_video(VIDEOS[0]), encode_video(whole), encode_video(odd), b'{"video_id":"x"}',
        b"\x00", encode_video(Video("gone", NOW_MS)), encode_video(gone), encode_video(VIDEOS[1]),
    ]  # fmt: skip
    engine.start("video-vectors")
    ends = engine.produce([("videos", key, p) for p in payloads])
    ends |= engine.send_videos([VIDEOS[2]])
    ends |= engine.produce([("videos", VIDEOS[2].video_id.encode(), None)])
    eventually(lambda: engine.folded_up_to(ends, "video-vectors"))
    assert vectors(engine).keys() == {"v0", "v1", "whole"}
    letters = [f.letter for f in read_dead_letters(engine.settings.kafka)]
    assert sorted(letter.payload for letter in letters) == sorted(
        [encode_video(odd), b'{"video_id":"x"}', b"\x00"]
    )
    assert any("embedding" in letter.reason for letter in letters)
    assert hash64("gone") not in {hash64(v) for v in vectors(engine)}
