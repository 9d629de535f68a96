"""A log of the simulator's world: the same each time, and about tastes."""

from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np

from headrace.datasets.simulated import Simulated
from model_runtime.training.log import read_log
from model_runtime.training.writing import write_log

SMALL = Simulated(viewers=12, videos=150, days=1.0, seed=3)


def test_equal_seeds_make_equal_logs_and_others_do_not() -> None:
    assert SMALL.made() == SMALL.made()
    assert SMALL.made()[2] != Simulated(viewers=12, videos=150, days=1.0, seed=4).made()[2]


def test_other_viewers_are_other_people_before_the_same_clips() -> None:
    clips, people, _ = SMALL.made()
    same, others, _ = replace(SMALL, first=1000).made()
    assert same == clips
    assert {p.user_id for p in people}.isdisjoint(p.user_id for p in others)
    assert [p.language for p in people] != [p.language for p in others]


def test_a_viewer_meets_a_clip_once_and_one_thing_after_the_other(tmp_path: Path) -> None:
    write_log(tmp_path / "log", SMALL.about, *SMALL.made())
    log = read_log(tmp_path / "log")
    assert log.repeated == 0
    assert log.published == len(log.videos) == 150
    last: dict[int, tuple[int, int]] = {}
    met = defaultdict[int, set[int]](set)
    for user, item, at in zip(
        log.rows["user"].tolist(), log.item.tolist(), log.rows["ts_ms"].tolist(), strict=True
    ):
        before, then = last.get(user, (-1, -1))
        if item != before:
            assert item not in met[user]
            assert at > then
        met[user].add(item)
        last[user] = item, at
    gaps = np.diff(np.sort(log.rows["ts_ms"][log.rows["user"] == 0])) / 1000
    assert np.median(gaps[gaps > 0]) < 120
    assert gaps.max() > 1800


def test_viewers_like_what_their_taste_says() -> None:
    videos, _, events = Simulated(viewers=30, videos=150, days=1.0, seed=3).made()
    category = {video.video_id: video.category for video in videos}
    whole = defaultdict[str, list[str | None]](list)
    for event in events:
        if event.watch_ms and event.watch_ms >= 0.8 * (event.duration_ms or 0):
            whole[event.user_id].append(category[event.video_id or ""])
    told = [max(map(some.count, some)) / len(some) for some in whole.values() if len(some) >= 8]
    assert len(told) >= 5
    assert np.mean(told) > 0.3  # of twelve categories one has a third and more
