"""Laws of the columnar catalog, against a dictionary of videos."""

import threading
from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from contracts.features import VIDEO_COLUMNS
from contracts.ids import hash32, hash64, hash64_many, pack_country, pack_language
from contracts.videos import Video
from operators.catalog import Catalog
from operators.id_table import IdTable

DIM = 8
NOW_MS = 1_790_000_000_000
names = st.sampled_from([f"v{i}" for i in range(12)])
text = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=40)
countries = st.lists(st.sampled_from(["DE", "at", "US", "ZZ"]), max_size=3).map(tuple)


@st.composite
def videos(draw: st.DrawFn) -> Video:
    return Video(
        video_id=draw(names),
        published_at=draw(st.integers(NOW_MS - 10**9, NOW_MS)),
        title=draw(text),
        tags=tuple(draw(st.lists(st.sampled_from(["a", "b", "c", "d", "e"]), max_size=5))),
        category=draw(st.none() | st.sampled_from(["cooking", "travel"])),
        language=draw(st.none() | st.sampled_from(["de", "en-US"])),
        countries=draw(countries),
        creator_id=draw(st.none() | st.sampled_from(["c1", "c2", "c3"])),
        duration_ms=draw(st.none() | st.integers(0, 10**8)),
        thumbnail_url=draw(st.none() | text),
        min_age=draw(st.integers(0, 99)),
        sponsored=draw(st.booleans()),
    )


@st.composite
def steps(draw: st.DrawFn) -> tuple[str, object, tuple[int, int]]:
    version = (draw(st.integers(0, 1)), draw(st.integers(0, 20)))
    if draw(st.booleans()):
        return ("upsert", draw(videos()), version)
    return ("remove", draw(names), version)


def vector(video: Video) -> NDArray[np.float32]:
    rng = np.random.default_rng(abs(hash64(video.video_id + video.title)) % 2**32)
    return rng.standard_normal(DIM).astype(np.float16).astype(np.float32)


def put(catalog: Catalog, *batch: Video, version: tuple[int, int] = (0, 0)) -> list[bool]:
    vectors = np.array([vector(v) for v in batch], np.float32).reshape(len(batch), DIM)
    accepted: list[bool] = catalog.upsert(batch, vectors, [version] * len(batch)).tolist()
    return accepted


def row_of(catalog: Catalog, video_id: str) -> int:
    return int(catalog.rows_of(hash64_many([video_id]))[0])


def expected(v: Video) -> dict[str, object]:
    tags = [hash32(t) for t in v.tags[:4]]
    return {
        "creator": hash32(v.creator_id) if v.creator_id else 0,
        "category": hash32(v.category) if v.category else 0,
        "tags": tags + [0] * (4 - len(tags)),
        "language": pack_language(v.language),
        "published_ms": v.published_at,
        "duration_ms": v.duration_ms or 0,
        "min_age": v.min_age,
        "sponsored": v.sponsored,
    }


def assert_holds(catalog: Catalog, model: Mapping[str, Video]) -> None:
    assert len(catalog) == len(model)
    assert set(catalog.live_ids().tolist()) == {hash64(v) for v in model}
    for video_id, video in model.items():
        row = row_of(catalog, video_id)
        rows = np.array([row], np.intp)
        columns = catalog.columns(rows)
        assert {name: column[0].tolist() for name, column in columns.items()} == expected(video)
        assert (catalog.video_id(row), catalog.title(row)) == (video_id, video.title)
        assert catalog.thumbnail_url(row) == video.thumbnail_url
        np.testing.assert_array_equal(catalog.vectors(rows)[0], vector(video))
        allowed = {c.upper() for c in video.countries}
        for country in ("DE", "AT", "FR"):
            ok = catalog.allowed_in(pack_country(country), rows)[0]
            assert ok == (not allowed or country in allowed)
        assert catalog.allowed_in(0, rows)[0] == (not allowed)
    newest = sorted((v.published_at for v in model.values()), reverse=True)
    at = {hash64(v.video_id): v.published_at for v in model.values()}
    assert [at[i] for i in catalog.newest(5).tolist()] == newest[:5]
    wanted = np.array([hash32("c1"), hash32("c2"), hash32("c1")], np.uint32)
    theirs = [v.published_at for v in model.values() if v.creator_id in ("c1", "c2")]
    found = catalog.by_creators(wanted, 20).tolist()
    assert len(found) == len(set(found))
    assert [at[i] for i in found] == sorted(theirs, reverse=True)


@given(st.lists(steps(), max_size=40))
@settings(max_examples=150, deadline=None)
def test_any_history_equals_a_dictionary_that_refuses_older_versions(
    history: list[tuple[str, object, tuple[int, int]]],
) -> None:
    catalog, model = Catalog(DIM, capacity=1), dict[str, Video]()
    versions: dict[str, tuple[int, int]] = {}
    for what, it, version in history:
        video_id = it.video_id if isinstance(it, Video) else str(it)
        stored = versions.get(video_id)
        older = stored is not None and stored[0] == version[0] and stored[1] > version[1]
        if isinstance(it, Video):
            assert put(catalog, it, version=version) == [not older]
        else:
            assert catalog.remove(video_id, version) == (not older and video_id in model)
        if older:
            continue
        versions[video_id] = version
        if what == "upsert":
            assert isinstance(it, Video)
            model[video_id] = it
        else:
            model.pop(video_id, None)
    assert_holds(catalog, model)
    assert_holds(Catalog.restore(catalog.state()), model)


@given(st.lists(videos(), max_size=30), st.integers(1, 30))
@settings(max_examples=60, deadline=None)
def test_one_batch_equals_many_and_the_last_of_a_repeated_video_counts(
    batch: list[Video], size: int
) -> None:
    whole, parts = Catalog(DIM, capacity=1), Catalog(DIM, capacity=1)
    put(whole, *batch)
    for start in range(0, len(batch), size):
        put(parts, *batch[start : start + size])
    model = {v.video_id: v for v in batch}
    assert_holds(whole, model)
    assert_holds(parts, model)


def test_a_snapshot_remembers_what_was_removed_and_at_which_version() -> None:
    catalog = Catalog(DIM)
    video = Video(video_id="v", published_at=NOW_MS)
    put(catalog, video, version=(0, 4))
    assert catalog.remove("v", (0, 9))
    again = Catalog.restore(catalog.state())
    assert put(again, video, version=(0, 8)) == [False]
    assert put(again, video, version=(0, 10)) == [True]
    assert again.name_of(hash32("nothing")) is None


def test_a_removal_without_a_version_keeps_the_version_it_removed() -> None:
    catalog = Catalog(DIM)
    video = Video(video_id="v", published_at=NOW_MS)
    put(catalog, video, version=(0, 4))
    assert catalog.remove("v")
    assert put(catalog, video, version=(0, 3)) == [False]
    assert put(catalog, video, version=(0, 4)) == [True]
    assert not catalog.remove("never seen")


def test_names_of_hashes_can_be_read_also_after_a_restart() -> None:
    catalog = Catalog(DIM)
    put(catalog, Video("v", NOW_MS, tags=("sour dough",), category="cooking", creator_id="c_9"))
    for either in (catalog, Catalog.restore(catalog.state())):
        for name in ("sour dough", "cooking", "c_9"):
            assert either.name_of(hash32(name)) == name
        assert either.name_of(pack_language("de")) == "de"


def test_a_row_that_is_no_video_reads_as_the_defaults() -> None:
    catalog = Catalog(DIM, capacity=1)
    put(catalog, *(Video(f"v{i}", NOW_MS, category="x", min_age=3) for i in range(9)))
    rows = catalog.rows_of(np.array([1, 2], np.int64))
    assert rows.tolist() == [-1, -1]
    columns = catalog.columns(rows)
    for spec in VIDEO_COLUMNS:
        np.testing.assert_array_equal(columns[spec.name], spec.filled(2))
        assert columns[spec.name].dtype == spec.dtype
    assert not catalog.vectors(rows).any()
    assert not catalog.allowed_in(pack_country("DE"), rows).any()
    assert not catalog.allowed_in(0, rows).any()


def test_no_rows_and_an_empty_catalog_are_answered_with_nothing() -> None:
    catalog, none = Catalog(DIM), np.empty(0, np.int64)
    assert len(catalog.rows_of(none)) == len(catalog.newest(5)) == len(catalog.live_ids()) == 0
    assert len(catalog.by_creators(np.array([7], np.uint32), 5)) == 0
    assert [len(c) for c in catalog.columns(none.astype(np.intp)).values()] == [0] * 8
    assert len(Catalog.restore(catalog.state())) == 0
    assert put(catalog) == []
    assert len(catalog.newest(0)) == 0


@pytest.mark.parametrize("bad", [np.full((1, DIM), np.nan), np.zeros((1, DIM + 1)), np.zeros(DIM)])
def test_a_vector_that_cannot_be_used_is_refused_and_changes_nothing(
    bad: NDArray[np.float64],
) -> None:
    catalog = Catalog(DIM)
    with pytest.raises(ValueError, match="vector"):
        catalog.upsert([Video("v", NOW_MS)], bad.astype(np.float32), [(0, 0)])
    assert len(catalog) == 0


def test_thousands_of_changes_keep_the_newest_and_the_creators_exact() -> None:
    rng = np.random.default_rng(5)
    catalog, model = Catalog(DIM, capacity=1), dict[str, Video]()
    for round_ in range(30):
        chosen = rng.integers(0, 3000, 700).tolist()
        batch = [
            Video(f"v{i}", NOW_MS - int(rng.integers(10**9)), creator_id=f"c{i % 7}")
            for i in chosen
        ]
        put(catalog, *batch, version=(0, round_))
        model |= {v.video_id: v for v in batch}
        for i in rng.integers(0, 3000, 100).tolist():
            assert catalog.remove(f"v{i}") == (model.pop(f"v{i}", None) is not None)
    at = {hash64(v.video_id): v.published_at for v in model.values()}
    best = sorted(at.values(), reverse=True)
    assert [at[i] for i in catalog.newest(500).tolist()] == best[:500]
    theirs = sorted((v.published_at for v in model.values() if v.creator_id == "c3"), reverse=True)
    found = catalog.by_creators(np.array([hash32("c3")], np.uint32), 200)
    assert [at[i] for i in found.tolist()] == theirs[:200]


def test_readers_beside_a_writer_see_whole_videos_and_never_raise() -> None:
    catalog, failed, stop = Catalog(DIM, capacity=1), list[BaseException](), threading.Event()
    ids = hash64_many([f"v{i}" for i in range(4000)])
    creators = {hash32(f"c{i}"): i for i in range(13)}

    def read() -> None:
        try:
            while not stop.is_set():
                rows = catalog.rows_of(ids)
                known = np.flatnonzero(rows >= 0)
                columns = catalog.columns(rows[known])
                assert [creators[c] for c in columns["creator"].tolist()] == (known % 13).tolist()
                for row in rows[known][:5].tolist():
                    assert catalog.video_id(row).startswith("v")
                newest = catalog.newest(50)
                assert len(np.unique(newest)) == len(newest)
                catalog.by_creators(np.array([hash32("c3")], np.uint32), 50)
                catalog.vectors(rows[known])
        except BaseException as e:
            failed.append(e)

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for round_ in range(4):
        for start in range(0, 4000, 200):
            batch = (Video(f"v{i}", NOW_MS + round_, creator_id=f"c{i % 13}")
                     for i in range(start, start + 200))  # fmt: skip
            put(catalog, *batch, version=(0, round_))
        for i in range(0, 4000, 3):
            catalog.remove(f"v{i}")
    stop.set()
    for reader in readers:
        reader.join()
    assert not failed


@given(st.lists(st.tuples(st.integers(-3, 40), st.integers(-1, 9)), max_size=120))
@settings(max_examples=150, deadline=None)
def test_an_id_table_is_a_dictionary(changes: list[tuple[int, int]]) -> None:
    table, model = IdTable(), dict[int, int]()
    for key, value in changes:
        one = np.array([key], np.int64)
        if value < 0:
            table.drop(one)
            model.pop(key, None)
        else:
            table.put(one, np.array([value], np.int32))
            model[key] = value
        assert len(table) == len(model)
    keys = np.arange(-4, 42)
    assert table.get(keys).tolist() == [model.get(k, -1) for k in keys.tolist()]
    batch = IdTable()
    puts = [(k, v) for k, v in changes if v >= 0]
    batch.put(np.array([k for k, _ in puts], np.int64), np.array([v for _, v in puts], np.int32))
    assert batch.get(keys).tolist() == [dict(puts).get(k, -1) for k in keys.tolist()]
    assert len(batch) == len(dict(puts))


def test_rows_that_were_looked_up_before_say_whether_they_still_hold_their_videos() -> None:
    catalog = Catalog(DIM)
    put(catalog, *(Video(f"v{i}", NOW_MS) for i in range(4)))
    ids = np.array([hash64(f"v{i}") for i in range(4)], np.int64)
    rows = catalog.rows_of(ids)
    assert catalog.still_at(rows, ids).all()
    catalog.remove("v2")
    put(catalog, Video("v3", NOW_MS + 1, title="changed"))
    assert catalog.still_at(rows, ids).tolist() == [True, True, False, True]
    assert not catalog.still_at(np.array([-1, rows[0]]), np.array([0, 77], np.int64)).any()


def test_the_newest_are_those_of_the_last_write_however_often_they_are_asked_for() -> None:
    catalog = Catalog(DIM)
    for i in range(700):
        put(catalog, Video(f"v{i}", NOW_MS + i))
        if i % 100 == 0:
            assert catalog.newest(1).tolist() == [hash64(f"v{i}")]
    assert len(catalog.newest(3)) == 3
    assert len(catalog.newest(650)) == 650
    catalog.newest(2)[:] = 0  # what is given away is the caller's
    catalog.remove("v699")
    assert catalog.newest(2).tolist() == [hash64("v698"), hash64("v697")]


def test_rows_of_removed_videos_are_used_again_once_no_request_can_hold_them() -> None:
    now_s = 0.0
    catalog = Catalog(DIM, clock=lambda: now_s)
    freed_s = dict[int, float]()
    for n in range(500):
        put(catalog, Video(f"v{n}", NOW_MS))
        row = row_of(catalog, f"v{n}")
        assert now_s - freed_s.get(row, -30.0) >= 30.0, "it rests still"
        freed_s[row] = now_s
        catalog.remove(f"v{n}")
        now_s += 1.0
    assert len(freed_s) < 40


def test_rows_rest_for_time_that_the_writer_has_seen_not_for_that_of_a_stopped_process() -> None:
    now_s = 0.0
    catalog = Catalog(DIM, clock=lambda: now_s)
    put(catalog, Video("gone", NOW_MS))
    row = row_of(catalog, "gone")
    catalog.remove("gone")
    now_s += 3600.0
    put(catalog, Video("new", NOW_MS))
    assert row_of(catalog, "new") != row


def pairs(n: int) -> tuple[str, str, str]:
    """The n-th set of three countries, another one for each n below 10,000."""
    codes = [f"{a}{b}" for a in "ABCDEFGHIJKLMNOPQRSTUVWXYZ" for b in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"]
    return codes[n % 100], codes[100 + n // 100 % 100], codes[300]


def test_licences_that_nobody_has_any_more_make_room_for_those_that_come() -> None:
    catalog, live = Catalog(DIM), {}
    for n in range(0, 20_000, 500):
        batch = [
            Video(
                f"v{i}", NOW_MS, countries=(*pairs((n + i) % 10_000), f"Z{chr(65 + n // 10_000)}")
            )
            for i in range(500)
        ]
        put(catalog, *batch, version=(0, n))
        live = {v.video_id: v for v in batch}
    assert_holds(catalog, live)
    assert len(catalog.state()["country_sets"]) < 12_000
    again = Catalog.restore(catalog.state())
    assert_holds(again, live)
    changed = [Video(name, NOW_MS, countries=("DE",)) for name in live]
    put(again, *changed, version=(0, 10**6))
    assert_holds(again, {v.video_id: v for v in changed})
