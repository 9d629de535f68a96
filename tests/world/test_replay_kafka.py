"""A replay against a real broker: everything arrives once, in order, and a bad row stops nothing."""

import threading
import time
from pathlib import Path

import pytest
from confluent_kafka import Consumer, TopicPartition

from contracts.errors import ConfigError, UnavailableError
from contracts.events import Event, decode_event, encode_event
from contracts.settings import KafkaSettings, Settings
from contracts.topics import EVENTS, PROFILES, VIDEOS
from contracts.videos import Video, decode_video, encode_video
from headrace.json_file import write_to
from headrace.replay import FILE, Progress, Shift, run
from streams.kafka import client_config
from streams.topics import create_topics

pytestmark = pytest.mark.kafka
DAY_MS = 86_400_000
START_MS = 1_600_000_000_000


def a_log(folder: Path, n: int) -> Path:
    events = [
        Event(f"e{i}", f"u{i % 7}", "click", START_MS + 100 * i, f"v{i % 5}") for i in range(n)
    ]
    videos = [Video(f"v{i}", START_MS - DAY_MS) for i in range(5)]
    lines = [encode_event(event) for event in events]
    (folder / "events.jsonl").write_bytes(
        b"\n".join([*lines[: n // 2], b"{nonsense", *lines[n // 2 :]])
    )
    (folder / "videos.jsonl").write_bytes(b"\n".join(encode_video(video) for video in videos))
    return folder


def consume(kafka: KafkaSettings, topic: str, n: int) -> list[tuple[bytes, bytes]]:
    """(key, value) of the first n messages of a topic, partition by partition in order."""
    consumer = Consumer(client_config(kafka) | {"group.id": "t", "auto.offset.reset": "earliest"})
    name = kafka.topic_prefix + topic
    partitions = consumer.list_topics(name, timeout=10).topics[name].partitions
    consumer.assign([TopicPartition(name, p, 0) for p in partitions])
    found: list[tuple[bytes, bytes]] = []
    give_up_s = time.monotonic() + 20
    while len(found) < n and time.monotonic() < give_up_s:
        for message in consumer.consume(n - len(found), 0.2):
            assert message.error() is None
            found.append((message.key() or b"", message.value() or b""))
    consumer.close()
    return found


def test_everything_arrives_and_a_bad_row_is_counted_with_its_place(
    kafka: KafkaSettings, tmp_path: Path
) -> None:
    create_topics(kafka, (EVENTS, VIDEOS, PROFILES))
    before_ms = time.time_ns() // 1_000_000
    told: list[Progress] = []
    summary = run(
        a_log(tmp_path, 500), Settings(kafka=kafka), speed=0, max_rate=1e6, tell=told.append
    )
    assert (summary.events, summary.videos, summary.profiles) == (500, 5, 0)
    assert (summary.refused, summary.failed) == (1, {})
    assert [(row.path.name, row.row) for row in summary.examples] == [("events.jsonl", 251)]
    assert told[-1].done
    assert told[-1].share == 1.0

    events = [decode_event(value) for _, value in consume(kafka, EVENTS.name, 500)]
    assert sorted(e.event_id for e in events) == sorted(f"e{i}" for i in range(500))
    assert all(before_ms <= e.timestamp <= time.time_ns() // 1_000_000 for e in events)
    for user in range(7):  # of one person, in the order of the log
        own = [int(e.event_id[1:]) for e in events if e.user_id == f"u{user}"]
        assert own == sorted(own)
    videos = [(key, decode_video(value)) for key, value in consume(kafka, VIDEOS.name, 5)]
    assert all(key.decode() == video.video_id for key, video in videos)
    assert all(abs(video.published_at - (before_ms - DAY_MS)) < 60_000 for _, video in videos)


def test_the_recorded_pace_is_kept(kafka: KafkaSettings, tmp_path: Path) -> None:
    create_topics(kafka, (EVENTS, VIDEOS))
    began_s = time.monotonic()
    summary = run(a_log(tmp_path, 21), Settings(kafka=kafka), speed=2.0, shift=Shift.KEEP)
    assert summary.events == 21
    assert 0.95 <= time.monotonic() - began_s < 5.0  # 2 s of log, twice as fast
    (first, *_) = consume(kafka, EVENTS.name, 21)
    assert decode_event(first[1]).timestamp < START_MS + DAY_MS


def test_the_rate_is_bounded_and_a_limit_ends_it(kafka: KafkaSettings, tmp_path: Path) -> None:
    create_topics(kafka, (EVENTS, VIDEOS))
    began_s = time.monotonic()
    summary = run(a_log(tmp_path, 1000), Settings(kafka=kafka), speed=0, max_rate=500, limit=400)
    assert summary.events + summary.videos == 400
    assert time.monotonic() - began_s > 0.6


def test_it_ends_when_told_to_and_reports_to_a_file(kafka: KafkaSettings, tmp_path: Path) -> None:
    create_topics(kafka, (EVENTS, VIDEOS))
    stop, report = threading.Event(), tmp_path / "state" / FILE
    threading.Timer(0.5, stop.set).start()
    summary = run(
        a_log(tmp_path, 1000), Settings(kafka=kafka), speed=1.0, tell=write_to(report), stop=stop
    )
    assert 0 < summary.events < 100
    assert report.read_bytes().startswith(b'{"name"')


def test_nothing_to_replay_is_said_before_kafka_is_asked(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds no file"):
        run(tmp_path, Settings(kafka=KafkaSettings(bootstrap="127.0.0.1:1")))


def test_a_kafka_that_is_not_there_is_said_before_anything_is_sent(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError):
        run(a_log(tmp_path, 3), Settings(kafka=KafkaSettings(bootstrap="127.0.0.1:1")))


def test_a_topic_that_is_missing_is_said_with_what_to_do(
    kafka: KafkaSettings, tmp_path: Path
) -> None:
    create_topics(kafka, (EVENTS,))
    with pytest.raises(UnavailableError, match="topics create"):
        run(a_log(tmp_path, 3), Settings(kafka=kafka))
