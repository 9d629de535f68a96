"""What is written as JSON lines or Parquet is read back; what is no message is refused by its place."""

from pathlib import Path
from typing import Any

import msgspec
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contracts.errors import ConfigError
from contracts.events import Event, encode_event
from contracts.profiles import Profile, encode_profile
from contracts.videos import Video, encode_video
from headrace.replay.json_lines import JsonLines
from headrace.replay.kinds import kind_of_fields
from headrace.replay.order import first_event_ms, in_order, last_event_ms, open_sources
from headrace.replay.parquet import ParquetRows
from headrace.replay.rows import Kind, Message, Refused, time_of

texts = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)
times = st.integers(10**11, 2 * 10**12)
events = st.builds(
    Event,
    event_id=texts,
    user_id=texts,
    event_type=st.sampled_from(("click", "watch", "like", "skip")),
    timestamp=times,
    video_id=texts,
    watch_ms=st.none() | st.integers(0, 10**6),
)
videos = st.builds(
    Video,
    video_id=texts,
    published_at=times,
    title=st.text(st.characters(codec="utf-8"), max_size=20),
    tags=st.lists(texts, max_size=3).map(tuple),
)
profiles = st.builds(Profile, user_id=texts, age=st.none() | st.integers(0, 150))
reuses_folder = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None
)


def write_lines(path: Path, lines: list[bytes]) -> Path:
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    return path


def write_parquet(path: Path, rows: list[dict[str, Any]]) -> Path:
    pa = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    parquet.write_table(pa.Table.from_pylist(rows), path)
    return path


@reuses_folder
@given(st.lists(events, min_size=1, max_size=20))
def test_events_survive_json_lines(tmp_path: Path, written: list[Event]) -> None:
    path = write_lines(tmp_path / "log.jsonl", [encode_event(event) for event in written])
    source = JsonLines(path)
    assert source.kind is Kind.EVENTS
    assert list(source) == written
    assert source.done == source.size


@reuses_folder
@given(st.lists(videos, min_size=1, max_size=20), st.lists(profiles, min_size=1, max_size=20))
def test_videos_and_profiles_survive_json_lines(
    tmp_path: Path, some: list[Video], people: list[Profile]
) -> None:
    one = JsonLines(write_lines(tmp_path / "a.jsonl", [encode_video(video) for video in some]))
    two = JsonLines(write_lines(tmp_path / "b.jsonl", [encode_profile(p) for p in people]))
    assert (one.kind, two.kind) == (Kind.VIDEOS, Kind.PROFILES)
    assert list(one) == some
    assert list(two) == people


@reuses_folder
@given(st.lists(events, min_size=1, max_size=20))
def test_events_survive_parquet(tmp_path: Path, written: list[Event]) -> None:
    rows = [msgspec.to_builtins(event) for event in written]
    columns = {name for row in rows for name in row}
    path = write_parquet(
        tmp_path / "log.parquet", [{name: row.get(name) for name in columns} for row in rows]
    )
    source = ParquetRows(path)
    assert source.kind is Kind.EVENTS
    assert list(source) == written
    assert source.done == source.size == len(written)


@reuses_folder
@given(st.lists(events, min_size=1, max_size=10), st.binary(max_size=60), st.data())
def test_a_bad_line_is_refused_by_its_place_and_the_rest_is_read(
    tmp_path: Path, written: list[Event], junk: bytes, data: st.DataObject
) -> None:
    junk = b"\x00" + junk.replace(b"\n", b"")  # never JSON, never blank
    at = data.draw(st.integers(0, len(written)))
    lines = [encode_event(event) for event in written]
    path = write_lines(tmp_path / "events.jsonl", [*lines[:at], junk, *lines[at:]])
    items = list(JsonLines(path))
    refused = [item for item in items if isinstance(item, Refused)]
    assert [item for item in items if not isinstance(item, Refused)] == written
    assert [(row.path, row.row) for row in refused] == [(path, at + 1)]
    assert "not an event" in refused[0].reason


def test_a_bad_parquet_row_is_refused_by_its_place(tmp_path: Path) -> None:
    good = {"event_id": "e", "user_id": "u", "event_type": "click", "timestamp": 10**12}
    rows: list[dict[str, Any]] = [
        {**good, "video_id": "v"},
        {**good, "video_id": None},
        {**good, "video_id": "v", "event_type": "teleport"},
        {**good, "video_id": "w"},
    ]
    items = list(ParquetRows(write_parquet(tmp_path / "log.parquet", rows)))
    assert [item.row for item in items if isinstance(item, Refused)] == [2, 3]
    assert "video_id is required" in str(items[1])
    assert "log.parquet, row 3" in str(items[2])
    assert isinstance(items[3], Event)


def test_parquet_times_may_be_timestamps_and_context_flat(tmp_path: Path) -> None:
    from datetime import UTC, datetime

    row = {
        "event_id": "e", "user_id": "u", "event_type": "click", "video_id": "v",
        "timestamp": datetime(2024, 1, 1, tzinfo=UTC), "context.country": "DE",
    }  # fmt: skip
    (event,) = ParquetRows(write_parquet(tmp_path / "log.parquet", [row]))
    assert isinstance(event, Event)
    assert event.timestamp == 1_704_067_200_000
    assert event.context is not None
    assert event.context.country == "DE"


def test_blank_lines_and_a_missing_last_line_end_are_no_rows(tmp_path: Path) -> None:
    video = encode_video(Video("v", 10**12))
    path = tmp_path / "videos.jsonl"
    path.write_bytes(b"\n" + video + b"\n  \n" + video)
    assert list(JsonLines(path)) == [Video("v", 10**12)] * 2


def test_a_line_without_end_is_refused_without_reading_it_whole(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    good = encode_event(Event("e", "u", "click", 10**12, "v"))
    path.write_bytes(b"x" * (9 << 20) + b"\n" + good + b"\n")
    long, event = JsonLines(path)
    assert isinstance(long, Refused)
    assert isinstance(event, Event)


def test_the_name_tells_the_kind_where_the_first_lines_do_not(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "events-1.jsonl", [b"nonsense"])
    assert JsonLines(path).kind is Kind.EVENTS
    with pytest.raises(ConfigError, match="neither events"):
        JsonLines(write_lines(tmp_path / "prices.jsonl", [orjson.dumps({"price": 1})]))


@pytest.mark.parametrize("kind", list(Kind))
def test_every_kind_is_known_by_its_required_fields(kind: Kind) -> None:
    fields = {
        Kind.EVENTS: {"event_id", "user_id", "event_type", "timestamp"},
        Kind.VIDEOS: {"video_id", "published_at"},
        Kind.PROFILES: {"user_id"},
    }[kind]
    assert kind_of_fields(fields) is kind


@pytest.mark.parametrize("name", ["nowhere", "notes.txt", "empty/"])
def test_what_cannot_be_replayed_is_said(tmp_path: Path, name: str) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError):
        open_sources(tmp_path / name)


def test_broken_parquet_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    (tmp_path / "events.parquet").write_bytes(b"PAR1 but not really")
    with pytest.raises(ConfigError, match=r"events\.parquet is not Parquet"):
        open_sources(tmp_path)


def a_folder(folder: Path) -> Path:
    early, late = Video("early", 10**12 - 5), Video("late", 10**12 + 50)
    clicks = [Event(f"e{n}", "u", "click", 10**12 + 10 * n, "early") for n in range(10)]
    write_lines(folder / "events-even.jsonl", [encode_event(e) for e in clicks[::2]])
    write_lines(folder / "events-odd.jsonl", [encode_event(e) for e in clicks[1::2]])
    write_lines(folder / "videos.jsonl", [encode_video(late), b"{", encode_video(early)])
    write_lines(folder / "profiles.jsonl", [encode_profile(Profile("u"))])
    return folder


def test_what_was_there_before_comes_first_and_then_all_goes_by_time(tmp_path: Path) -> None:
    sources = open_sources(a_folder(tmp_path))
    first_ms = first_event_ms(sources)
    assert (first_ms, last_event_ms(sources)) == (10**12, 10**12 + 90)
    items = list(in_order(sources, first_ms))
    assert sum(isinstance(item, Refused) for item in items) == 1
    good: list[Message] = [item for item in items if not isinstance(item, Refused)]
    assert good[:2] == [Profile("u"), Video("early", 10**12 - 5)]
    stamps = [time_of(item) or 0 for item in good[2:]]
    assert stamps == sorted(stamps)
    assert len(good) == 13
