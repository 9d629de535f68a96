"""Somebody's own Parquet at the command line: a clear error before the first epoch, or a model that works.

The files are written as anybody would write them, with pyarrow and nothing of ours.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner, Result

from contracts.errors import HeadraceError
from contracts.settings import ModelSettings
from contracts.videos import Video
from headrace.cli import app
from model_runtime import bundles

START_MS = 1_700_000_000_000
EVENTS, PEOPLE, CLIPS, PAGES = 400, 10, 20, 100
CONFIG = """
name = "r"
threads = 1
data = {folder = "log", split = "time", kept = 0.3}
users = {layers = 1, inner = 16, width = 16}
optimiser = {epochs = 2, tokens = 256, rate = 0.01, average = 0.9}
"""
RANK = """
[rank]
fewest = 20
trees = false
form = {bins = 5, embedding = 3, rank = 4, width = 8, members = 2, watch_bins = 4}
learning = {epochs = 2, rows = 64, rate = 0.01, seen = 5}
"""
Table = dict[str, Any]
Change = Callable[[Table, Table, Table], None]


def tables() -> tuple[Table, Table, Table]:
    """Events, videos and impressions, the required columns and few others."""
    rng = np.random.default_rng(0)
    kinds = rng.choice(["click", "like", "skip", "watch"], EVENTS).tolist()
    done = {
        "event_id": [f"e{i}" for i in range(EVENTS)],
        "user_id": [f"u{i}" for i in rng.integers(PEOPLE, size=EVENTS)],
        "event_type": kinds,
        "timestamp": [START_MS + i * 60_000 for i in range(EVENTS)],
        "video_id": [f"v{i}" for i in rng.integers(CLIPS, size=EVENTS)],
        "watch_ms": [20_000 if kind == "watch" else None for kind in kinds],
    }
    clips = {
        "video_id": [f"v{i}" for i in range(CLIPS)], "published_at": [START_MS - 10**9] * CLIPS,
        "title": [f"clip {i}" for i in range(CLIPS)], "category": ["a", "b"] * (CLIPS // 2),
        "duration_ms": [30_000] * CLIPS,
    }  # fmt: skip
    pages = {
        "request_id": [f"r{i}" for i in range(PAGES)],
        "user_id": [f"u{i}" for i in rng.integers(PEOPLE, size=PAGES)],
        "at_ms": [START_MS + i * 240_000 - 1000 for i in range(PAGES)],
        "video_ids": [[f"v{i}" for i in rng.choice(CLIPS, 5, replace=False)] for _ in range(PAGES)],
    }
    return done, clips, pages


def trained(folder: Path, change: Change, rank: bool) -> Result:
    """What `headrace train` says of the changed tables."""
    (folder / "log").mkdir()
    made = tables()
    change(*made)
    for name, table in zip(("events", "videos", "impressions"), made, strict=True):
        if table:
            pq.write_table(pa.table(table), folder / "log" / f"{name}.parquet")
    (folder / "run.toml").write_text(CONFIG + (RANK if rank else ""))
    return CliRunner().invoke(app, ["train", str(folder / "run.toml")])


def every(table: str, column: str, value: Any) -> Change:
    """One value, or a whole column of others, in all rows."""

    def change(*made: Table) -> None:
        of = made[("events", "videos", "impressions").index(table)]
        n = len(next(iter(of.values())))
        of[column] = value if isinstance(value, pa.Array) else [value] * n

    return change


def at(table: str, column: str, row: int, value: Any) -> Change:
    """Another value in one row."""

    def change(*made: Table) -> None:
        made[("events", "videos", "impressions").index(table)][column][row] = value

    return change


def without(table: str, *columns: str) -> Change:
    """No such columns; none given: no such file."""

    def change(*made: Table) -> None:
        of = made[("events", "videos", "impressions").index(table)]
        for name in columns or tuple(of):
            del of[name]

    return change


def embeddings(*vectors: list[float] | None) -> Change:
    """These, in turns."""
    rows = [vectors[i % len(vectors)] for i in range(CLIPS)]
    return every("videos", "embedding", pa.array(rows, pa.list_(pa.float64())))


def cut_to(n: int) -> Change:
    """The first n events."""

    def change(events: Table, *others: Table) -> None:
        del others
        for name in events:
            events[name] = events[name][:n]

    return change


def only_skips(events: Table, *others: Table) -> None:
    del others
    events["event_type"], events["watch_ms"] = ["skip"] * EVENTS, [None] * EVENTS


REFUSED: dict[str, tuple[Change, str]] = {
    "no positives": (only_skips, "none says that a video was liked"),
    "one person": (every("events", "user_id", "u"), "one person only"),
    "one video": (every("events", "video_id", "v1"), "about 1 video only"),
    "no events": (cut_to(0), "has no events"),
    "two events": (cut_to(2), "nothing"),
    "one moment": (every("events", "timestamp", START_MS), "data.kept"),
    "one id for all events": (every("events", "event_id", "e"), "390 of 400 events repeat an event_id"),
    "no file of videos": (without("videos"), "has no videos.parquet"),
    "a missing column": (without("events", "user_id"), "has no column user_id; it has event_id"),
    "no video in any event": (without("events", "video_id"), "row 1: video_id is required"),
    "a null where one must be": (at("events", "user_id", 3, None), "user_id: 1 values are null"),
    "a click on nothing": (at("events", "video_id", 3, None), "row 4: video_id is required"),
    "ids that are numbers": (
        every("events", "user_id", pa.array(range(EVENTS))),
        "user_id holds int64, wanted string: write numbers as texts",
    ),
    "times that are texts": (every("events", "timestamp", "2024-01-01"), "holds string, wanted int64"),
    "times that are none": (every("events", "timestamp", float("nan")), "column timestamp"),
    "an action of one's own": (at("events", "event_type", 7, "purchase"), "row 8, event_type"),
    "a negative watch": (at("events", "watch_ms", 7, -5), "row 8, watch_ms"),
    "NaN in an embedding": (embeddings([1.0, 2.0], [1.0, float("nan")]), "row 2: the embedding"),
    "a null in an embedding": (embeddings([1.0, None]), "row 1: the embedding"),  # type: ignore[list-item]
    "mixed dimensions": (embeddings([1.0, 2.0], [1.0]), "'v1' has 1 numbers, that of 'v0' has 2"),
    "no embedding beside one": (embeddings([1.0, 2.0], []), "has 0 numbers, that of 'v0' has 2"),
    "embeddings as texts": (every("videos", "embedding", "[1, 2]"), "embedding holds string"),
    "a category that is a number": (every("videos", "category", 3), "category holds int64"),
    "tags in one text": (every("videos", "tags", "a,b"), "tags holds string, wanted list"),
    "nothing shown": (without("impressions"), "has no impressions"),
    "shown what nobody knows": (every("impressions", "video_ids", ["x1"]), "none of the 100 videos"),
    "shown to strangers": (every("impressions", "user_id", "stranger"), "nothing to tell apart"),
    "positions too few": (every("impressions", "positions", [0, 1]), "row 1: 5 video_ids, 2 positions"),
    "a position below zero": (every("impressions", "positions", [-1] * 5), "row 1, positions"),
    "more than certain": (every("impressions", "propensities", [2.0] * 5), "row 1, propensities"),
}  # fmt: skip
WORKS: dict[str, Change] = {
    "as it is": lambda *_: None,
    "nothing said of the videos": without("videos", "title", "category", "duration_ms"),
    "a category for each": every("videos", "category", pa.array([f"c{i}" for i in range(CLIPS)])),
    "categories that say nothing": every("videos", "category", " "),
    "some embeddings": embeddings([1.0, 2.0], None),
    "embeddings of a fixed size": every(
        "videos", "embedding", pa.FixedSizeListArray.from_arrays(pa.array(np.ones(2 * CLIPS)), 2)
    ),
    "embeddings of nothing": embeddings([0.0, 0.0]),
    "times that are dates": every(
        "events", "timestamp",
        pa.array([(START_MS + i * 60_000) * 1000 for i in range(EVENTS)], pa.timestamp("us")),
    ),
    "columns that we do not know": every("events", "mood", "fine"),
    "videos that no file names": every(
        "events", "video_id", pa.array([f"x{i % 9}" if i % 2 else "v1" for i in range(EVENTS)])
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused_before_the_first_epoch_by_what_is_wrong(tmp_path: Path, name: str) -> None:
    change, said = REFUSED[name]
    ended = trained(tmp_path, change, rank=True)
    assert isinstance(ended.exception, HeadraceError), (ended.exception, ended.output)
    assert said in str(ended.exception)
    assert "epoch" not in ended.output
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("name", WORKS)
def test_a_model_comes_of_it_that_serves(tmp_path: Path, name: str) -> None:
    ended = trained(tmp_path, WORKS[name], rank=True)
    assert ended.exit_code == 0, (ended.exception, ended.output)
    settings = ModelSettings(registry=str(tmp_path / "runs/r/bundle"), bundle="r")
    bundle = bundles.load(settings)
    new = Video("new", START_MS, "clip 3", category="a category that training never saw")
    vectors = bundle.items.embed([new, Video("v3", START_MS - 10**9, "clip 3", category="b")])
    assert np.isfinite(vectors).all()
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-4)
