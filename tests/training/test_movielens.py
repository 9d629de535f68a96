"""The MovieLens readers, on tiny copies of the files' shape, and on the files where they are."""

import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from contracts.errors import DatasetError
from contracts.events import Event, to_ms
from contracts.profiles import Profile
from contracts.videos import Video
from headrace.datasets.names import Name
from headrace.datasets.prepare import prepare
from model_runtime.training.layout import read_about
from model_runtime.training.log import read_log
from model_runtime.training.reading import read_events, read_profiles, read_videos
from model_runtime.training.sequences import sequences


def a_million(folder: Path) -> Path:
    """Two people, three films; one rating lies beside the matrix."""
    folder.mkdir()
    (folder / "movies.dat").write_text(
        "1::Girl, Interrupted (1999)::Drama\n2::Misérables, Les (1969)::Comedy|Drama\n"
        "3::Nameless::Western\n",
        "latin-1",
    )
    (folder / "users.dat").write_text("1::F::1::10::48067\n2::M::56::16::70072\n", "latin-1")
    order = pa.table({"item_ids": [[3, 1, 2], [1, 3]]})
    pq.write_table(order, folder / "sequences_chronological.parquet")
    np.savez(
        folder / "rating_matrix.npz",
        rating_matrix=np.array([[5, 0, 1], [2, 0, 4]], np.int8),
        validation_matrix=np.array([[0, 1, 3]]),
    )
    return folder


def test_a_million_ratings_keep_their_order_and_their_stars(tmp_path: Path) -> None:
    a_million(tmp_path / "ml-1m")
    about, counts = prepare(Name.MOVIELENS_1M, tmp_path, tmp_path / "log")
    assert counts == {"events": 5, "videos": 3, "profiles": 2}
    assert read_about(tmp_path / "log") == about
    assert about.clock == "order"
    (rows,) = read_events(tmp_path / "log")
    assert rows.events == [
        Event(f"ml_{user}_{film}", f"u_{user}", "rate", k, f"m_{film}", rating=stars)
        for user, film, k, stars in [(1, 3, 1, 1.0), (1, 1, 2, 5.0), (1, 2, 3, 3.0),
                                     (2, 1, 1, 2.0), (2, 3, 2, 4.0)]
    ]  # fmt: skip
    first, second, third = read_videos(tmp_path / "log")
    assert first == Video(
        "m_1", 915_148_800, title="Girl, Interrupted (1999)", tags=("Drama",), category="Drama"
    )
    assert (second.title, second.tags, second.published_at) == (
        "Misérables, Les (1969)", ("Comedy", "Drama"), 1,
    )  # fmt: skip
    assert third.published_at == 1
    assert read_profiles(tmp_path / "log")["u_2"] == Profile("u_2", age=56)


def test_a_folder_that_is_not_the_data_set_is_refused(tmp_path: Path) -> None:
    a_million(tmp_path / "ml-1m")
    (tmp_path / "ml-1m" / "users.dat").unlink()
    with pytest.raises(DatasetError, match=r"not MovieLens-1M: no users\.dat"):
        prepare(Name.MOVIELENS_1M, tmp_path, tmp_path / "log")
    with pytest.raises(DatasetError, match="no folder"):
        prepare(Name.MOVIELENS_1M, tmp_path / "nowhere", tmp_path / "log")


def a_hundred_thousand(folder: Path) -> Path:
    folder.mkdir()
    (folder / "u.genre").write_text("unknown|0\nAction|1\nDrama|2\n\n")
    (folder / "u.item").write_text(
        "1|Toy Story (1995)|01-Jan-1995||http://x|0|1|1\n2|Café (1971)|||http://x|1|0|0\n",
        "latin-1",
    )
    (folder / "u.user").write_text("1|24|M|technician|85711\n2|53|F|other|94043\n")
    (folder / "u.data").write_text("2\t1\t4\t881250950\n1\t1\t3\t881250949\n1\t2\t5\t881250950\n")
    return folder


def test_a_hundred_thousand_ratings_are_in_the_order_of_their_times(tmp_path: Path) -> None:
    a_hundred_thousand(tmp_path / "ml-100k")
    about, _ = prepare(Name.MOVIELENS_100K, tmp_path, tmp_path / "log")
    assert about.clock == "ms"
    log = read_log(tmp_path / "log")
    assert [log.users[user] for user in log.rows["user"]] == ["u_1", "u_2", "u_1"]
    assert log.item.tolist() == [0, 0, 1]
    assert log.rows["ts_ms"].tolist() == [881_250_949_000, 881_250_950_000, 881_250_950_000]
    toy, cafe = log.videos
    assert (toy.tags, toy.category, toy.published_at) == (
        ("Action", "Drama"),
        "Action",
        788_918_400,
    )
    assert (cafe.title, cafe.tags, cafe.category) == ("Café (1971)", (), None)
    assert to_ms(cafe.published_at) == 31_536_000_000


def test_the_real_million_is_read_whole(tmp_path: Path) -> None:
    folder = os.environ.get("HEADRACE_DATA")
    if not folder or not (Path(folder) / "ml-1m").is_dir():
        pytest.skip("HEADRACE_DATA names no folder that holds ml-1m")
    prepare(Name.MOVIELENS_1M, Path(folder), tmp_path / "log")
    log = read_log(tmp_path / "log")
    assert (len(log), len(log.users), log.published, log.repeated) == (1_000_209, 6040, 3883, 0)
    found = sequences(log)
    assert found.lengths.min() == 20
    assert not np.isnan(found.share).any()
    pairs = np.repeat(np.arange(len(found)), found.lengths) * 10_000 + found.item
    assert len(np.unique(pairs)) == len(pairs)
