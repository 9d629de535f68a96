"""Kafka stopped, slow, refusing, with more partitions and with less history, under a running engine."""

import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    ResourceType,
)

from contracts.videos import Video
from headrace.servers import apache_kafka
from headrace.servers.apache_kafka import ApacheKafka, kafka_jars
from headrace.servers.redis import EmbeddedRedis
from streams.topics import admin
from tests.conftest import POM
from tests.faults.conftest import Matrix
from tests.faults.logs import read_ends
from tests.faults.proxy import SlowProxy
from tests.faults.stack import Kafka, Stack, seconds, stack
from tests.faults.traffic import Feeds, Load, until_fresh
from tests.integration.running import eventually
from tests.integration.user_logs import NOW_MS

pytestmark = [
    pytest.mark.faults, pytest.mark.slow,
    pytest.mark.skipif(apache_kafka.missing() is not None, reason="needs Apache Kafka's own broker"),
]  # fmt: skip


@pytest.fixture(scope="module")
def engine(
    kafka_factory: Callable[[Path], Kafka], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("kafka-faults")
    with (
        kafka_factory(folder) as kafka,
        EmbeddedRedis(folder / "redis") as server,
        stack(kafka, server, folder / "logs") as running,
    ):
        yield running


def stale_and_nothing_lost(engine: Stack, load: Load, name: str) -> tuple[float, int, int]:
    """Seconds until an event is in a feed again, then what was lost and doubled: nothing."""
    fresh_s = until_fresh(engine.url, f"fresh-{name}")
    load.end()
    lost, doubled = engine.lost_and_doubled(set(load.accepted), load.users)
    assert (lost, doubled) == (0, 0)
    return fresh_s, lost, doubled


@pytest.mark.timeout(300)
def test_stopped_for_thirty_seconds_events_are_refused_politely_and_the_feed_goes_on(
    engine: Stack, matrix: Matrix
) -> None:
    with Load(engine.url, "stopped") as load, Feeds(engine.url) as feeds:
        time.sleep(2.0)
        began = time.monotonic()
        engine.kafka.stop()
        try:
            for part in ("user-state", "video-stats", "video-vectors", "api"):
                eventually(partial(away, engine, part), 45, f"{part} to say that Kafka is away")
            assert engine.ready()[0] == 200, "what it has is served"
            time.sleep(max(began + 30.0 - time.monotonic(), 0))
        finally:
            engine.kafka.start()
        healed = time.monotonic()
        fresh_s, lost, doubled = stale_and_nothing_lost(engine, load, "stopped")
    assert feeds.failed == []
    assert set(feeds.rungs(began)) == {"full"}
    assert load.refused
    for _, status, headers, body in load.refused:
        assert (status, int(headers["retry-after"]) > 0) == (503, True), body
    assert (engine.metric("api", "headrace_refused_total") or 0) >= len(load.refused)
    for part in ("user-state", "video-stats", "video-vectors", "api"):
        eventually(lambda: not away(engine, part), 45, part)  # noqa: B023 (it is called at once)
    matrix.row(
        f"Kafka stopped {healed - began:.0f} s", lost=lost, doubled=doubled,
        unavailable=f"feed never: {dict(feeds.rungs(began, healed))}; POST /v1/events 503 for "
        f"{load.refused[-1][0] - load.refused[0][0]:.1f} s ({len(load.refused)} answers)",
        stale=f"the fault + {fresh_s:.1f} s",
    )  # fmt: skip


def test_refusing_what_is_produced_events_are_refused_and_then_taken(
    engine: Stack, matrix: Matrix
) -> None:
    """The broker answers every produce with MSG_SIZE_TOO_LARGE."""
    with Load(engine.url, "refusing") as load, Feeds(engine.url) as feeds:
        time.sleep(1.0)
        for topic in ("events", "impressions"):
            set_config(engine, topic, "max.message.bytes", "10")
        began = time.monotonic()
        try:
            time.sleep(12.0)
        finally:
            for topic in ("events", "impressions"):
                set_config(engine, topic, "max.message.bytes", "1048588")
        healed = time.monotonic()
        fresh_s, lost, doubled = stale_and_nothing_lost(engine, load, "refusing")
    assert feeds.failed == []
    assert set(feeds.rungs(began)) == {"full"}
    assert {status for _, status, _, _ in load.refused} == {503}
    assert (engine.metric("api", "headrace_impressions_dropped_total") or 0) > 0
    matrix.row(
        f"Kafka refuses produce {healed - began:.0f} s (max.message.bytes)", lost=lost,
        doubled=doubled, unavailable=f"feed never; POST /v1/events 503, {len(load.refused)} answers; "
        "impressions of that time are dropped, and counted",
        stale=f"the fault + {fresh_s:.1f} s",
    )  # fmt: skip


def test_partitions_added_under_load_to_every_topic_are_read_by_flows_and_replicas(
    engine: Stack, matrix: Matrix
) -> None:
    topics = ("events", "impressions", "videos", "video-vectors", "video-stats")
    with Load(engine.url, "grown") as load, Feeds(engine.url) as feeds:
        time.sleep(1.0)
        began = time.monotonic()
        for topic in topics:
            grow(engine, topic, 12)
        videos = [f"grown{i}" for i in range(24)]
        eventually(lambda: "have changed" in engine.log_of("video-vectors"), 30)
        engine.send_videos([Video(v, NOW_MS, f"clip {v}", duration_ms=20_000) for v in videos])
        eventually(lambda: all(found(feeds, v) for v in videos), 90, "new videos in every replica")
        stale_s = seconds(began)
        fresh_s = until_fresh(engine.url, "fresh-grown")
        load.end()
    assert feeds.failed == []
    assert set(feeds.rungs(began)) == {"full"}
    engine.settled()
    log = [e for e in engine.events_of_the_log() if e.user_id in load.users]
    counted = int(engine.users(sorted(load.users))["events"].sum())
    assert set(load.accepted) <= {e.event_id for e in log}
    # A person's events now come through two partitions: all count once, in the order of arrival.
    assert counted == len({e.event_id for e in log})
    eventually(lambda: stats_folded(engine), 60, "statistics of the new partitions")
    matrix.row(
        "partitions added under load to events, impressions, videos, video-vectors, video-stats",
        lost=0, doubled=0, unavailable="never",
        stale=f"events {fresh_s:.1f} s after; videos of new partitions {stale_s:.0f} s "
        "(replicas look every 30 s)",
    )  # fmt: skip


@pytest.mark.timeout(300)
def test_retention_that_deleted_what_a_position_points_to_is_counted_and_said(
    engine: Stack, matrix: Matrix
) -> None:
    flow = next(p for p in engine.processes if "user-state" in p.args)  # type: ignore[operator]
    engine.settled()
    flow.terminate()
    flow.wait(15)
    with Load(engine.url, "deleted") as load:
        eventually(lambda: len(load.accepted) >= 200, 30)
    deleted = delete_all(engine, "events")
    assert deleted >= 200
    engine.run("user-state")
    fresh_s = until_fresh(engine.url, "fresh-deleted")
    lost = engine.metric("user-state", "headrace_messages_lost_total", topic="events")
    assert lost is not None
    assert lost >= len(load.accepted)
    assert "retention deleted" in engine.log_of("user-state")
    matrix.row(
        "retention deleted what a position points to (flow away longer than the topic keeps)",
        lost=f"{lost:.0f}, counted: they are gone from the log", doubled=0, unavailable="never",
        stale=f"{fresh_s:.1f} s after the flow's start",
    )  # fmt: skip


def test_a_replica_whose_snapshot_is_older_than_the_topic_says_what_it_has_missed(
    own_kafka: Kafka, own_redis: EmbeddedRedis, tmp_path: Path
) -> None:
    folder = tmp_path / "index"
    more = {
        "HEADRACE_INDEX__SNAPSHOT_DIR": str(folder),
        "HEADRACE_INDEX__SNAPSHOT_EVERY_S": "1",
    }
    with stack(own_kafka, own_redis, tmp_path / "logs", ["video-vectors"], **more) as engine:
        eventually((folder / "CURRENT").exists, 30, "a snapshot")
        engine.stop_api()
        ends = engine.send_videos([Video(f"x{i}", NOW_MS, "clip") for i in range(40)])
        eventually(lambda: engine.folded_up_to(ends, "video-vectors"), 30)
        # Only a topic that is not compacted alone loses records: a mistake, and it has to be seen.
        set_config(engine, "video-vectors", "cleanup.policy", "compact,delete")
        assert delete_all(engine, "video-vectors") >= 40
        engine.serve()
        lost = engine.metric("api", "headrace_messages_lost_total", topic="video-vectors")
        assert lost == 40
        assert "were deleted before they were read" in engine.log_of("api")


@pytest.mark.timeout(300)
def test_a_broker_that_answers_slowly_delays_and_loses_nothing(
    tmp_path: Path, own_redis: EmbeddedRedis, matrix: Matrix
) -> None:
    kafka = ApacheKafka(kafka_jars(POM), tmp_path / "kafka", advertised=(proxy := SlowProxy()).port)
    with proxy.before(kafka.port), kafka, stack(kafka, own_redis, tmp_path / "logs") as engine:
        with Load(engine.url, "slow") as load, Feeds(engine.url) as feeds:
            time.sleep(2.0)
            proxy.delay_s, began = 0.5, time.monotonic()
            slow_s = until_fresh(engine.url, "fresh-under-slow")
            time.sleep(15.0)
            slow_s = max(slow_s, until_fresh(engine.url, "fresh-under-slow-2"))
            proxy.delay_s, healed = 0.0, time.monotonic()
            fresh_s, lost, doubled = stale_and_nothing_lost(engine, load, "slow")
        assert feeds.failed == []
        assert set(feeds.rungs(began)) == {"full"}
        matrix.row(
            f"every answer of Kafka 0.5 s late and in pieces, for {healed - began:.0f} s", lost=lost,
            doubled=doubled, unavailable=f"never; {len(load.refused)} posts refused",
            stale=f"{slow_s:.1f} s meanwhile, {fresh_s:.1f} s after",
        )  # fmt: skip


def away(engine: Stack, part: str) -> bool:
    return bool(engine.metric(part, "headrace_away_seconds"))


def found(feeds: Feeds, video: str) -> bool:
    params: dict[str, Any] = {"video_id": video}
    return feeds.http.get("/v1/recommendations/similar", params=params).status_code == 200


def set_config(engine: Stack, topic: str, name: str, value: str) -> None:
    client = admin(engine.settings.kafka)
    change = ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
    what = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[change])
    for done in client.incremental_alter_configs([what]).values():
        done.result(30)


def grow(engine: Stack, topic: str, count: int) -> None:
    client = admin(engine.settings.kafka)
    client.create_partitions([NewPartitions(topic, count)])[topic].result(30)


def delete_all(engine: Stack, topic: str) -> int:
    """Delete every record of a topic, as retention does; the highest offsets, summed."""
    ends = read_ends(engine.settings, topic)
    client = admin(engine.settings.kafka)
    parts = [TopicPartition(topic, p, end) for p, end in ends.items() if end]
    for done in client.delete_records(parts).values():
        done.result(30)
    return sum(ends.values())


def stats_folded(engine: Stack) -> bool:
    """Whether the statistics flow has stored the ends of events and impressions."""
    client = engine.redis
    try:
        for topic in ("events", "impressions"):
            for p, end in read_ends(engine.settings, topic).items():
                raw: Any = client.hget(engine.keys.stats(f"{topic}:{p}"), "position")
                if end and (raw is None or int(raw.split(b":")[2]) < end):
                    return False
        return True
    finally:
        client.close()
