"""A snapshot is there whole or not at all, and what boots from it answers the same."""

import json
import os
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from contracts.errors import IndexCorruptError
from contracts.ids import hash64, hash64_many
from contracts.settings import IndexSettings
from contracts.videos import Video
from index_updater import background, snapshot
from index_updater.live_index import LiveIndex
from index_updater.snapshot_files import LAYOUT, current
from operators.catalog import Catalog

DIM = 8
NOW_MS = 1_790_000_000_000
META = {"offsets": {"video-vectors:0": ["topic-id", 17]}, "bundle": "day0"}


@pytest.fixture(scope="module", params=["cells", "hnsw"])
def quick(request: pytest.FixtureRequest) -> IndexSettings:
    return IndexSettings(
        structure=request.param, m=8, ef_construction=40, ef_search=200, tail_rows=64
    )


def unit(n: int, seed: int) -> NDArray[np.float32]:
    x = np.random.default_rng(seed).standard_normal((n, DIM))
    out: NDArray[np.float32] = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)
    return out


def fill(index: LiveIndex, catalog: Catalog, names: list[str], seed: int) -> None:
    videos = [Video(v, NOW_MS - i, title=f"{v} ☃", countries=("DE",)) for i, v in enumerate(names)]
    vectors = unit(len(names), seed)
    catalog.upsert(videos, vectors, [(0, seed)] * len(names))
    index.upsert(hash64_many(names), vectors)


def drop(index: LiveIndex, catalog: Catalog, names: list[str]) -> None:
    for name in names:
        catalog.remove(name)
    index.remove(hash64_many(names))


def built(quick: IndexSettings, n: int) -> tuple[LiveIndex, Catalog]:
    index, catalog = LiveIndex(DIM, quick, capacity=1), Catalog(DIM)
    names = [f"v{i}" for i in range(n)]
    fill(index, catalog, names, 1)
    drop(index, catalog, names[::5])
    if n:
        fill(index, catalog, names[: n // 3], 2)
    return index, catalog


def loaded(quick: IndexSettings, folder: Path) -> snapshot.Snapshot:
    found = snapshot.load(folder, quick)
    assert found is not None
    return found


@pytest.mark.parametrize("n", [0, 1, 50, 3000])
@pytest.mark.parametrize("settled", [True, False])
def test_save_and_load_answer_the_same_and_can_be_written_on(
    quick: IndexSettings, tmp_path: Path, n: int, settled: bool
) -> None:
    index, catalog = built(quick, n)
    while settled and index.maintain():
        pass
    snapshot.save(tmp_path / "s", index, catalog, META)
    again = loaded(quick, tmp_path / "s")
    assert again.meta == META
    assert len(again.index) == len(index) == len(again.catalog) == len(catalog)
    assert again.index.tail_rows == index.tail_rows
    for query in unit(10, 5):
        for before, after in zip(index.search(query, 50), again.index.search(query, 50)):  # noqa: B905
            np.testing.assert_array_equal(before, after)
    np.testing.assert_array_equal(catalog.newest(40), again.catalog.newest(40))
    fill(again.index, again.catalog, ["new", "v1"], 9)
    drop(again.index, again.catalog, ["v2"])
    while again.index.maintain():
        pass
    assert again.index.search(unit(2, 9)[0], 1)[0].tolist() == [hash64("new")]
    assert hash64("v2") not in again.index.ids()
    snapshot.save(tmp_path / "s", again.index, again.catalog, {})
    assert len(loaded(quick, tmp_path / "s").index) == len(again.index)


def test_no_snapshot_is_none(quick: IndexSettings, tmp_path: Path) -> None:
    assert snapshot.load(tmp_path, quick) is None
    assert snapshot.load(tmp_path / "nowhere", quick) is None


def flip(path: Path, at: float) -> None:
    data = bytearray(path.read_bytes())
    data[int(at * (len(data) - 1))] ^= 0x10
    path.write_bytes(data)


def cut(path: Path, at: float) -> None:
    path.write_bytes(path.read_bytes()[: int(at * path.stat().st_size)])


def lose(path: Path, at: float) -> None:
    path.unlink()


@given(st.data(), st.sampled_from([flip, cut, lose]), st.floats(0, 0.999))
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_a_torn_or_altered_snapshot_is_refused(
    quick: IndexSettings,
    tmp_path_factory: pytest.TempPathFactory,
    data: st.DataObject,
    harm: Callable[[Path, float], None],
    at: float,
) -> None:
    folder = tmp_path_factory.mktemp("torn")
    snapshot.save(folder, *built(quick, 60), META)
    where = current(folder)
    assert where is not None
    files = sorted(where.iterdir())
    victim = files[data.draw(st.integers(0, len(files) - 1), label="file")]
    if victim.stat().st_size == 0 and harm is not lose:
        return
    harm(victim, at)
    with pytest.raises(IndexCorruptError):
        snapshot.load(folder, quick)


@pytest.mark.parametrize("text", ["", "../elsewhere", "snapshot-000000099", "\udcff"])
def test_a_pointer_to_nowhere_is_refused(quick: IndexSettings, tmp_path: Path, text: str) -> None:
    snapshot.save(tmp_path, *built(quick, 5), {})
    (tmp_path / "CURRENT").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(IndexCorruptError):
        snapshot.load(tmp_path, quick)


def test_a_snapshot_of_another_layout_is_refused(quick: IndexSettings, tmp_path: Path) -> None:
    import xxhash

    snapshot.save(tmp_path, *built(quick, 5), {})
    where = current(tmp_path)
    assert where is not None
    sealed = json.loads((where / "manifest.json").read_text())
    text = sealed["manifest"].replace(f'"layout": {LAYOUT}', '"layout": 999')
    assert text != sealed["manifest"]
    sum_ = xxhash.xxh3_128_hexdigest(text.encode())
    (where / "manifest.json").write_text(json.dumps({"xxh3": sum_, "manifest": text}))
    with pytest.raises(IndexCorruptError, match="layout 999"):
        snapshot.load(tmp_path, quick)


def test_a_snapshot_of_another_structure_is_refused(quick: IndexSettings, tmp_path: Path) -> None:
    snapshot.save(tmp_path, *built(quick, 3000), {})
    other = "hnsw" if quick.structure == "cells" else "cells"
    with pytest.raises(
        IndexCorruptError, match=f"no {other}.bin: it is of another index structure"
    ):
        snapshot.load(tmp_path, quick.model_copy(update={"structure": other}))


def test_a_writer_that_is_killed_leaves_the_snapshot_before(
    quick: IndexSettings, tmp_path: Path
) -> None:
    index, catalog = built(quick, 2000)
    snapshot.save(tmp_path, index, catalog, {"number": 1})
    for _ in range(5):
        snapshot.start(tmp_path, index, catalog, {"number": 2}).cancel()
        assert loaded(quick, tmp_path).meta["number"] in (1, 2)
    snapshot.save(tmp_path, index, catalog, {"number": 3})
    assert loaded(quick, tmp_path).meta == {"number": 3}
    assert not list(tmp_path.glob("*.draft"))
    assert len(list(tmp_path.glob("snapshot-*"))) <= 2


def test_a_folder_that_cannot_be_written_is_an_os_error(
    quick: IndexSettings, tmp_path: Path
) -> None:
    (tmp_path / "s").write_text("a file, no folder")
    with pytest.raises(OSError, match="s"):
        snapshot.save(tmp_path / "s", *built(quick, 5), {})


def test_a_child_that_fails_or_dies_is_said_and_leaves_nothing(tmp_path: Path) -> None:
    def fail() -> None:
        raise RuntimeError("no room")

    for work, why in ((fail, "no room"), (lambda: os._exit(3), "killed")):
        child = background.in_child(work)
        with pytest.raises(OSError, match=why):
            child.wait()
        with pytest.raises(ChildProcessError):  # nobody is left to be waited for
            os.waitpid(child.pid, os.WNOHANG)


def test_children_are_made_beside_products_and_none_of_those_is_stuck() -> None:
    x, stop = np.ones((96, 64), np.float32), threading.Event()
    y = np.ones((16_384, 64), np.float32)

    def multiply() -> None:
        while not stop.is_set():
            x @ y.T

    at_work = threading.Thread(target=multiply, daemon=True)
    at_work.start()
    for _ in range(200):
        background.in_child(lambda: None).wait()
    stop.set()
    at_work.join(20)
    assert not at_work.is_alive()


def test_a_removal_that_reached_the_catalog_only_is_made_up_for_at_boot(
    quick: IndexSettings, tmp_path: Path
) -> None:
    index, catalog = built(quick, 50)
    catalog.remove("v7")
    snapshot.save(tmp_path, index, catalog, {})
    again = loaded(quick, tmp_path)
    assert hash64("v7") not in again.index.ids()
    assert len(again.index) == len(again.catalog) == len(index) - 1


def test_a_snapshot_taken_beside_writers_and_readers_is_a_state_that_was(
    quick: IndexSettings, tmp_path: Path
) -> None:
    index, catalog, stop = LiveIndex(DIM, quick, capacity=1), Catalog(DIM), threading.Event()
    index.start()
    fill(index, catalog, [f"v{i}" for i in range(500)], 1)

    def write() -> None:
        turn = 0
        while not stop.is_set():
            turn += 1
            fill(index, catalog, [f"w{turn * 20 + i}" for i in range(20)], turn)
            index.search(unit(1, turn)[0], 100)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for number in range(4):
            snapshot.save(tmp_path, index, catalog, {"number": number})
            again = loaded(quick, tmp_path)
            # Batches are atomic in each of the two; the index may be one batch behind.
            assert len(again.catalog) % 20 == len(again.index) % 20 == 0
            assert 0 <= len(again.catalog) - len(again.index) <= 20
            for query in unit(5, number):
                exact = again.index.search_exact(query, 20)[1]
                np.testing.assert_allclose(again.index.search(query, 20)[1], exact, atol=0.05)
    finally:
        stop.set()
        writer.join()
        index.close()
