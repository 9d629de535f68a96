"""Laws of the columnar catalog, against a dictionary of videos."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from contracts.features import VIDEO_COLUMNS
from contracts.ids import hash32, pack_country, pack_language
from contracts.videos import Video
from operators.catalog import Catalog
from tests.unit.catalogs import DIM, NOW_MS, assert_holds, put

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
