"""Who is asked what: nothing of the future, nothing that was met, and everything that could be."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from contracts.errors import DatasetError
from contracts.events import Event
from contracts.videos import Video
from model_runtime.evaluation.protocols import Task, task_of
from model_runtime.evaluation.queries import Queries, held_out, leave_one_out, prequential
from model_runtime.evaluation.ranking import allowed, rank
from model_runtime.evaluation.world import World, world_of
from model_runtime.training.layout import About
from model_runtime.training.log import Log, read_log
from tests.training.logs import DAY_MS, START_MS, events, videos, written


def test_visible_is_what_had_arrived_counted_by_hand(world: World) -> None:
    rng = np.random.default_rng(2)
    user = rng.integers(len(world.people), size=200)
    moments = rng.choice(world.arrived_ms, 200) + rng.integers(-1, 2, 200)
    found = world.visible(user, moments)
    for u, t, n in zip(user, moments, found, strict=True):
        mine = world.arrived_ms[world.people.offsets[u] : world.people.offsets[u + 1]]
        assert n == (mine < t).sum()


def test_histories_hold_what_a_person_took_to_so_far(world: World) -> None:
    user = np.arange(len(world.people))
    visible = world.people.lengths // 2
    for only in (True, False):
        found = world.histories(user, visible, only).toarray()
        for u in user:
            first = slice(world.people.offsets[u], world.people.offsets[u] + visible[u])
            keep = world.positive[first] if only else world.people.item[first] >= 0
            assert set(np.flatnonzero(found[u])) == set(world.people.item[first][keep])


def test_each_person_is_asked_for_the_last_and_only_what_is_left_is_learned(world: World) -> None:
    test, validation = leave_one_out(world), leave_one_out(world, "validation")
    learned = ~held_out(world)
    people = world.people
    assert test.user.tolist() == validation.user.tolist()
    for user, early, late in zip(test.user, validation.seen, test.seen, strict=True):
        start, end = people.offsets[user : user + 2]
        liked: dict[int, int] = {}
        for i in range(start, end):
            if world.positive[i]:
                liked.setdefault(int(people.item[i]), i)
        *_, before, last = sorted(liked.values())
        assert (before - start, last - start) == (early, late)
        assert learned[start:before].all()
        assert not learned[before:end].any()


def test_a_query_follows_what_it_may_look_at_and_asks_for_something_new(task: Task) -> None:
    world, queries = task.world, task.queries
    arrived = world.log.rows["broker_ms"]
    assert len(queries) > 100
    assert (np.diff(queries.at_ms) >= 0).all()
    for i in range(len(queries)):
        user, target = queries.user[i], queries.target[i]
        before = slice(world.people.offsets[user], world.people.offsets[user] + queries.seen[i])
        assert (world.arrived_ms[before] < queries.at_ms[i]).all()
        assert target not in world.people.item[before]
        assert (arrived[: queries.rows[i]] < queries.at_ms[i]).all()
        assert arrived[queries.rows[i]] >= queries.at_ms[i]
        assert queries.rows[i] >= queries.fresh_from
    assert not task.learned[world.people.row >= queries.fresh_from].any()
    chosen_by, learned = task.validation
    assert chosen_by.at_ms.max() < queries.at_ms.min()
    assert not learned[world.arrived_ms >= chosen_by.at_ms.min()].any()


def test_every_first_like_of_the_last_part_is_asked_for(log: Log, task: Task) -> None:
    split_ms = log.rows["broker_ms"][task.queries.fresh_from]
    met: set[tuple[int, int]] = set()
    expected = []
    for user, item, at, liked in zip(
        log.rows["user"].tolist(), log.item.tolist(), log.rows["broker_ms"].tolist(),
        log.liked.tolist(), strict=True,
    ):  # fmt: skip
        if liked and (user, item) not in met and at >= split_ms:
            expected.append((at, user, item))
        met.add((user, item))
    queries = task.queries
    asked = zip(queries.at_ms.tolist(), queries.user.tolist(), queries.target.tolist(), strict=True)
    assert list(asked) == expected


class Fixed:
    """The same scores for everybody."""

    name = "fixed"

    def __init__(self, scores: NDArray[np.float32]) -> None:
        self.values = scores

    def prepare(self, world: World, queries: Queries, learned: NDArray[np.bool_]) -> None: ...

    def scores(self, queries: Queries) -> NDArray[np.float32]:
        return np.tile(self.values, (len(queries), 1))


@settings(max_examples=15)
@given(st.integers(0, 99), st.booleans())
def test_a_rank_is_the_place_in_the_sorted_list(task: Task, seed: int, gaps: bool) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.permutation(task.world.videos).astype(np.float32)
    scores[rng.random(len(scores)) < 0.1 * gaps] = np.nan
    queries = task.queries.take(slice(0, 40))
    found, may = rank(task.world, queries, Fixed(scores)), allowed(task.world, queries)
    for i, target in enumerate(queries.target):
        rated = may[i] & np.isfinite(scores)
        if np.isfinite(scores[target]):
            assert found.rank[i] == (scores[rated] > scores[target]).sum()
        else:
            assert found.rank[i] >= rated.sum()
        order = np.argsort(-np.where(rated, scores, -np.inf), kind="stable")[:10]
        assert found.top[i].tolist() == order.tolist()


def test_ties_favour_nobody(task: Task) -> None:
    found = rank(task.world, task.queries, Fixed(np.zeros(task.world.videos, np.float32)))
    middle = (allowed(task.world, task.queries).sum(axis=1) - 1) / 2
    assert abs((found.rank - middle).mean()) < 0.05 * task.world.videos


def test_what_is_not_out_yet_or_was_met_is_not_recommended(tmp_path: Path) -> None:
    late = Video("late", START_MS + 10 * DAY_MS)
    log = [Event(f"e{i}", f"u{i % 3}", "click" if i % 2 else "skip", START_MS + i * 1000, f"v{i % 7}")
           for i in range(40)]  # fmt: skip
    world = world_of(read_log(written(tmp_path / "log", [*videos(9), late], log)))
    queries = prequential(world, 0.9)
    may = allowed(world, queries)
    assert not may[:, 9].any()
    met = world.histories(queries.user, queries.seen, only_positive=False).toarray() > 0
    assert not (may & met).any()
    assert may[np.arange(len(queries)), queries.target].all()
    assert (may | met)[:, :9].all()


def test_a_log_without_times_cannot_be_split_by_time(tmp_path: Path) -> None:
    folder = written(tmp_path / "log", videos(9), events(200, 4, 9), about=About(clock="order"))
    log = read_log(folder)
    with pytest.raises(DatasetError, match="has no times"):
        task_of(log, "time", "liked", 0.1)
    assert len(task_of(log, "last", "any", 0.1).queries) == 4
