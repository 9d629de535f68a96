"""What is written in the training layout is read back; what cannot be used is refused by its place."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contracts.engine_records import Impression
from contracts.errors import DatasetError
from contracts.events import Context, Event
from contracts.profiles import Profile
from contracts.videos import Video
from model_runtime.training.layout import ABOUT, SCHEMAS, About, read_about, write_about
from model_runtime.training.log import read_log
from model_runtime.training.reading import (
    read_events,
    read_impressions,
    read_profiles,
    read_videos,
)
from model_runtime.training.writing import write_log
from tests.training.logs import START_MS, a_log, events, videos, written

texts = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)
times = st.integers(10**11, 2 * 10**12)
contexts = st.builds(
    Context, country=st.sampled_from(("DE", "AT")), device=texts, connection=st.none() | texts
)
some_events = st.builds(
    Event,
    event_id=texts,
    user_id=texts,
    event_type=st.sampled_from(("click", "watch", "like", "skip", "rate")),
    timestamp=times,
    video_id=texts,
    watch_ms=st.none() | st.integers(0, 10**6),
    rating=st.none() | st.floats(0, 5),
    context=st.none() | contexts,
)
some_videos = st.builds(
    Video,
    video_id=texts,
    published_at=times,
    title=st.text(st.characters(codec="utf-8"), max_size=20),
    tags=st.lists(texts, max_size=3).map(tuple),
    countries=st.lists(st.sampled_from(("DE", "AT")), max_size=2).map(tuple),
    embedding=st.none() | st.lists(st.floats(-1, 1, width=32), min_size=3, max_size=3).map(tuple),
)
some_people = st.builds(
    Profile,
    user_id=texts,
    age=st.none() | st.integers(0, 150),
    interests=st.lists(texts, max_size=3).map(tuple),
)
some_pages = st.integers(1, 3).flatmap(
    lambda n: st.builds(
        Impression,
        request_id=texts, user_id=texts, at_ms=times, surface=texts, bundle=texts, variant=texts,
        rung=texts, country=st.none() | st.just("DE"),
        video_ids=st.lists(texts, min_size=n, max_size=n).map(tuple),
        positions=st.just(tuple(range(n))), propensities=st.just((0.5,) * n),
        features=st.just({"cosine": np.arange(n, dtype="<f4").tobytes()}),
    )
)  # fmt: skip
a_folder_each = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30, deadline=None
)


@a_folder_each
@given(
    st.lists(some_events, min_size=1, max_size=8),
    st.lists(some_videos, min_size=1, max_size=8, unique_by=lambda v: v.video_id),
    st.lists(some_people, min_size=1, max_size=5, unique_by=lambda p: p.user_id),
    st.lists(some_pages, min_size=1, max_size=4),
)
def test_what_is_written_is_read_back(
    tmp_path_factory: pytest.TempPathFactory,
    log: list[Event],
    clips: list[Video],
    people: list[Profile],
    pages: list[Impression],
) -> None:
    folder = tmp_path_factory.mktemp("log") / "it"
    counts = write_log(folder, About(name="mine"), log, clips, people, pages)
    assert counts == {
        "events": len(log), "videos": len(clips), "profiles": len(people), "impressions": len(pages)
    }  # fmt: skip
    (rows,) = read_events(folder)
    assert rows.events == log
    assert rows.arrived_ms.tolist() == [event.timestamp for event in log]
    assert read_videos(folder) == clips
    assert read_profiles(folder) == {person.user_id: person for person in people}
    (shown,) = read_impressions(folder)
    assert shown.pages == pages
    assert shown.arrived_ms.tolist() == [page.at_ms for page in pages]
    assert read_about(folder) == About(name="mine")


def test_the_layout_has_every_field_of_the_wire_format() -> None:
    for kind, struct in {"events": Event, "videos": Video, "profiles": Profile,
                         "impressions": Impression}.items():  # fmt: skip
        fields = {name for name in struct.__struct_fields__ if name != "context"}
        assert fields <= set(SCHEMAS[kind].names), kind
    flat = {name.removeprefix("context.") for name in SCHEMAS["events"].names if "." in name}
    assert flat == set(Context.__struct_fields__)


def a_table(folder: Path, kind: str, rows: list[dict[str, Any]]) -> None:
    folder.mkdir(exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), folder / f"{kind}.parquet")


CLICK = {"event_id": "e", "user_id": "u", "event_type": "click", "timestamp": START_MS,
         "video_id": "v"}  # fmt: skip


def test_times_may_be_dates_texts_may_be_dictionaries_and_context_may_be_nested(
    tmp_path: Path,
) -> None:
    row = CLICK | {"timestamp": datetime(2024, 1, 1, tzinfo=UTC), "context": {"country": "DE"}}
    table = pa.Table.from_pylist([row])
    at = table.schema.get_field_index("user_id")
    table = table.set_column(at, "user_id", table["user_id"].dictionary_encode())
    pq.write_table(table, tmp_path / "events.parquet")
    ((event,),) = (part.events for part in read_events(tmp_path))
    assert event == Event("e", "u", "click", 1_704_067_200_000, "v", context=Context(country="DE"))


def test_parts_are_read_in_the_order_of_their_names(tmp_path: Path) -> None:
    for day, name in ((2, "b"), (1, "a")):
        a_table(tmp_path / "events", f"day-{day}", [CLICK | {"event_id": name}])
    ids = [event.event_id for part in read_events(tmp_path) for event in part.events]
    assert ids == ["a", "b"]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"event_id": "e", "user_id": "u", "event_type": "click"}, "no column timestamp"),
        (CLICK | {"user_id": 7}, "column user_id holds int64, wanted string"),
        (CLICK | {"timestamp": "yesterday"}, "column timestamp holds string, wanted int64"),
        (CLICK | {"timestamp": 1.5}, "column timestamp holds double"),
        (CLICK | {"event_type": "teleport"}, r"row 1, event_type: Invalid enum value 'teleport'"),
        (CLICK | {"video_id": None}, "row 1: video_id is required"),
        (CLICK | {"user_id": None}, "column user_id"),
        (CLICK | {"watch_ms": -5}, "row 1, watch_ms"),
    ],
)
def test_what_is_no_event_is_refused_by_its_place(
    tmp_path: Path, row: dict[str, Any], said: str
) -> None:
    a_table(tmp_path, "events", [row])
    with pytest.raises(DatasetError, match=said):
        list(read_events(tmp_path))


def test_a_bad_row_is_told_by_its_number_in_the_file(tmp_path: Path) -> None:
    a_table(tmp_path, "events", [CLICK, CLICK, CLICK | {"event_type": "teleport"}])
    with pytest.raises(DatasetError, match=r"events\.parquet, row 3, event_type"):
        list(read_events(tmp_path))


@pytest.mark.parametrize(
    ("embeddings", "said"),
    [
        ([[0.1, 0.2], [0.1, float("nan")]], "row 2: the embedding has a value that is not finite"),
        ([[0.1, 0.2], [0.1, float("inf")]], "not finite"),
        ([[0.1, 0.2], [0.1, None]], "not finite"),
        ([[0.1, 0.2], None, [0.1]], "'v2' has 1 numbers, that of 'v0' has 2"),
    ],
)
def test_embeddings_that_do_not_fit_are_refused(
    tmp_path: Path, embeddings: list[list[float] | None], said: str
) -> None:
    rows = [{"video_id": f"v{i}", "published_at": START_MS, "embedding": vector}
            for i, vector in enumerate(embeddings)]  # fmt: skip
    a_table(tmp_path, "videos", rows)
    with pytest.raises(DatasetError, match=said):
        read_videos(tmp_path)


def test_of_a_video_told_twice_the_last_counts_and_a_removed_one_is_gone(tmp_path: Path) -> None:
    rows = [{"video_id": v, "published_at": START_MS, "title": t, "status": s}
            for v, t, s in [("a", "old", "published"), ("b", "", "published"),
                            ("a", "new", "published"), ("b", "", "removed")]]  # fmt: skip
    a_table(tmp_path, "videos", rows)
    assert [(video.video_id, video.title) for video in read_videos(tmp_path)] == [("a", "new")]


@pytest.mark.parametrize(
    ("log", "said"),
    [
        ([Event(f"e{i}", "u", "click", START_MS, f"v{i}") for i in range(3)], "one person only"),
        ([Event(f"e{i}", f"u{i}", "click", START_MS, "v0") for i in range(3)], "1 video only"),
        (
            [Event(f"e{i}", f"u{i}", "skip", START_MS, f"v{i}") for i in range(3)],
            "nothing to learn",
        ),
    ],
)
def test_a_log_from_which_nothing_can_be_learnt_is_refused(
    tmp_path: Path, log: list[Event], said: str
) -> None:
    with pytest.raises(DatasetError, match=said):
        read_log(written(tmp_path / "log", videos(5), log))


@pytest.mark.parametrize("lacking", ["events", "videos"])
def test_a_missing_kind_is_named(tmp_path: Path, lacking: str) -> None:
    folder = a_log(tmp_path / "log")
    (folder / f"{lacking}.parquet").unlink()
    with pytest.raises(DatasetError, match=rf"no {lacking}\.parquet"):
        read_log(folder)


def test_what_is_no_parquet_or_no_folder_is_said(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no folder"):
        read_log(tmp_path / "nowhere")
    folder = a_log(tmp_path / "log")
    (folder / "events.parquet").write_bytes(b"PAR1 but not really")
    with pytest.raises(DatasetError, match=r"events\.parquet is not Parquet"):
        read_log(folder)


def test_a_folder_that_holds_something_is_not_overwritten(tmp_path: Path) -> None:
    folder = a_log(tmp_path / "log")
    with pytest.raises(DatasetError, match="not empty"):
        a_log(folder)


def test_a_log_that_cannot_be_written_to_its_end_is_not_there(tmp_path: Path) -> None:
    def torn() -> Any:
        yield from events(5, 2, 2)
        raise DatasetError("the source is torn")

    with pytest.raises(DatasetError, match="torn"):
        write_log(tmp_path / "log", About(), videos(3), torn())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["clock = 'sundial'", "licence", "weather = 'fine'", "layout = 9"])
def test_a_description_that_is_not_one_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / ABOUT).write_text(text)
    with pytest.raises(DatasetError, match=ABOUT):
        read_about(tmp_path)


@given(texts, texts)
def test_a_description_survives_any_text(
    tmp_path_factory: pytest.TempPathFactory, name: str, licence: str
) -> None:
    folder = tmp_path_factory.mktemp("about")
    about = About(name=name, licence=licence, clock="order")
    write_about(folder, about)
    assert read_about(folder) == about
