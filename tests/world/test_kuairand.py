"""The KuaiRand reader, on a tiny copy of the files' shape, and on the files where they are."""

import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from contracts.errors import ConfigError, DatasetError
from contracts.events import Event, decode_event, encode_event
from contracts.profiles import Profile
from contracts.videos import Video, decode_video, encode_video
from headrace.datasets.kuairand_before import FILE
from headrace.datasets.names import Name
from headrace.datasets.prepare import prepare
from headrace.replay import kuairand
from headrace.replay.kuairand import LOG_COLUMNS, Log
from headrace.replay.order import in_order, open_sources
from headrace.replay.rows import Refused
from model_runtime.training.reading import read_events, read_impressions

pa = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")
KUAIRAND = Name.KUAIRAND
QUIET: dict[str, Any] = dict.fromkeys(LOG_COLUMNS, 0) | {
    "user_id": 7, "video_id": 3, "time_ms": 1_650_812_741_436, "duration_ms": 20_000, "tab": 1,
}  # fmt: skip
ITEM: dict[str, Any] = {
    "video_id": 3, "author_id": 55, "upload_dt": "2022-04-10", "video_duration": 20_000.0,
    "tag": "39,68", "show_cnt": 9.0,
}  # fmt: skip


def a_week(folder: Path, log: list[dict[str, Any]], items: list[dict[str, Any]]) -> Path:
    parquet.write_table(pa.Table.from_pylist(log), folder / "log_0425-0430.parquet")
    parquet.write_table(pa.Table.from_pylist(items), folder / "item_features.parquet")
    users = [{"user_id": user, "register_days": 100} for user in (7, 8)]
    parquet.write_table(pa.Table.from_pylist(users), folder / "user_features.parquet")
    return folder


def events_of(folder: Path, **row: Any) -> list[Event]:
    a_week(folder, [QUIET | row], [ITEM])
    return [item for item in Log(folder / "log_0425-0430.parquet") if isinstance(item, Event)]


def test_a_folder_of_the_files_is_recognised_also_from_above(tmp_path: Path) -> None:
    below = tmp_path / "kuairand-pure"
    below.mkdir()
    a_week(below, [QUIET], [ITEM])
    assert kuairand.find(tmp_path) == kuairand.find(below) == below
    assert kuairand.find(tmp_path / "absent") is None


def test_a_video_has_its_creator_category_tags_length_and_day(tmp_path: Path) -> None:
    items = [ITEM, ITEM | {"video_id": 4, "tag": "unknown", "video_duration": None}]
    a_week(tmp_path, [QUIET], items)
    one, two = kuairand.Items(tmp_path / "item_features.parquet")
    assert one == Video(
        "v_3", 1_649_520_000_000, tags=("t39", "t68"), category="t39", language="zh",
        creator_id="c_55", duration_ms=20_000,
    )  # fmt: skip
    assert isinstance(two, Video)
    assert (two.category, two.tags, two.duration_ms) == (None, (), None)


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({}, []),
        ({"is_click": 1, "play_time_ms": 15_000}, ["click", "watch"]),
        ({"play_time_ms": 900}, ["skip"]),
        ({"play_time_ms": 900, "duration_ms": 1000}, ["watch"]),
        ({"is_like": 1}, ["like"]),
        ({"is_follow": 1}, ["follow"]),
        ({"is_comment": 1}, ["comment"]),
        ({"is_forward": 1}, ["share"]),
        ({"is_hate": 1}, ["not_interested"]),
    ],
)
def test_each_signal_of_a_row_becomes_its_event(
    tmp_path: Path, row: dict[str, int], expected: list[str]
) -> None:
    found = events_of(tmp_path, **row)
    assert [event.event_type for event in found] == expected
    for event in found:
        assert (event.user_id, event.video_id) == ("u_7", "v_3")
        assert decode_event(encode_event(event)) == event


def test_a_watch_carries_both_lengths(tmp_path: Path) -> None:
    (watch,) = events_of(tmp_path, play_time_ms=5000)
    assert (watch.watch_ms, watch.duration_ms) == (5000, 20_000)


def test_rows_that_repeat_collapse_and_rows_that_differ_do_not(tmp_path: Path) -> None:
    row = QUIET | {"is_click": 1, "is_like": 1}
    log = [row, row, row | {"time_ms": row["time_ms"] + 1}, row | {"tab": 2}]
    a_week(tmp_path, log, [ITEM])
    ids = [item.event_id for item in Log(tmp_path / "log_0425-0430.parquet")
           if isinstance(item, Event)]  # fmt: skip
    assert len(ids) == 8
    assert len(set(ids)) == 6
    assert ids[:2] == ids[2:4]


def test_what_was_before_the_week_is_in_order_and_each_video_once(tmp_path: Path) -> None:
    a_week(tmp_path, [QUIET | {"is_click": 1}], [ITEM])
    last_ms = QUIET["time_ms"] - 5000
    told = [{"user_id": 7, "last_time_ms": last_ms, "watch_seq": [4, 3, 4]}]
    parquet.write_table(pa.Table.from_pylist(told), tmp_path / FILE)
    _, counts = prepare(Name.KUAIRAND_WARM, tmp_path, tmp_path / "log")
    assert counts["events"] == 3
    events = [event for part in read_events(tmp_path / "log") for event in part.events]
    assert [(e.video_id, e.timestamp) for e in events] == [
        ("v_3", last_ms - 1000), ("v_4", last_ms), ("v_3", QUIET["time_ms"]),
    ]  # fmt: skip
    (tmp_path / FILE).unlink()
    with pytest.raises(DatasetError, match=FILE):
        prepare(Name.KUAIRAND_WARM, tmp_path, tmp_path / "another")


def test_only_people_of_the_log_get_a_profile(tmp_path: Path) -> None:
    a_week(tmp_path, [QUIET], [ITEM])
    found = [item for source in open_sources(tmp_path, ("CN",), "CN") for item in source]
    people = [item for item in found if isinstance(item, Profile)]
    began = QUIET["time_ms"] - 100 * 86_400_000
    assert people == [Profile("u_7", country="CN", language="zh", created_at=began)]
    assert [item.countries for item in found if isinstance(item, Video)] == [("CN",)]


def test_a_bad_row_is_refused_by_its_place(tmp_path: Path) -> None:
    items = [ITEM, ITEM | {"upload_dt": "yesterday"}, ITEM | {"video_id": None}]
    a_week(tmp_path, [QUIET], items)
    found = list(kuairand.Items(tmp_path / "item_features.parquet"))
    assert [item.row for item in found if isinstance(item, Refused)] == [2, 3]


def test_a_file_without_its_columns_is_an_error_that_names_them(tmp_path: Path) -> None:
    parquet.write_table(pa.Table.from_pylist([{"user_id": 1}]), tmp_path / "log_x.parquet")
    with pytest.raises(ConfigError, match="is_click"):
        Log(tmp_path / "log_x.parquet")


def test_a_prepared_week_has_each_row_once_and_knows_which_page_an_event_came_of(
    tmp_path: Path,
) -> None:
    row = QUIET | {"is_click": 1, "is_hate": 1, "play_time_ms": 20_000}
    (tmp_path / "kuairand").mkdir()
    log = [row, row, row | {"time_ms": row["time_ms"] + 5, "is_click": 0, "is_hate": 0}]
    a_week(tmp_path / "kuairand", log, [ITEM, ITEM | {"video_id": 4}])
    _, counts = prepare(KUAIRAND, tmp_path, tmp_path / "log")
    assert counts == {"videos": 2, "profiles": 1, "events": 4, "impressions": 2}
    (events,), (shown,) = read_events(tmp_path / "log"), read_impressions(tmp_path / "log")
    kinds = [event.event_type for event in events.events]
    assert kinds == ["click", "watch", "not_interested", "watch"]
    one, two = (page.request_id for page in shown.pages)
    assert events.requests == [one, one, one, two]
    assert shown.pages[0].surface == "tab_1"
    again = list(in_order(open_sources(tmp_path / "log"), None))  # a prepared log can be replayed
    assert Counter(type(item).__name__ for item in again) == {"Profile": 1, "Video": 2, "Event": 4}


def test_the_real_week_is_read_whole() -> None:
    folder = os.environ.get("HEADRACE_DATA")
    found = kuairand.find(Path(folder)) if folder else None
    if found is None:
        pytest.skip("HEADRACE_DATA names no folder that holds the KuaiRand files")
    kinds: Counter[str] = Counter()
    ids: set[str] = set()
    for source in open_sources(found):
        for n, item in enumerate(source):
            kinds[item.event_type if isinstance(item, Event) else type(item).__name__] += 1
            if isinstance(item, Event):
                ids.add(item.event_id)
            if isinstance(item, Video) and n % 100 == 0:
                assert decode_video(encode_video(item)) == item
    assert kinds["Refused"] == 0
    assert kinds["Video"] == 7583
    assert kinds["Profile"] == 21_184
    assert kinds["click"] == 41_503
    events = sum(kinds.values()) - kinds["Video"] - kinds["Profile"]
    assert len(ids) < events  # some rows are delivered twice
