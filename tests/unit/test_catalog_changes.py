"""Laws of a catalog that never stops changing: readers, orders, rows and licences keep up."""

import threading

import numpy as np

from contracts.ids import hash32, hash64, hash64_many
from contracts.videos import Video
from operators.catalog import Catalog
from tests.unit.catalogs import DIM, NOW_MS, assert_holds, put, row_of


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
