"""Recall holds on queries that the effort was not tuned by, at every moment of a history."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from contracts.settings import IndexSettings
from index_updater.exact import exact_search, first_view
from index_updater.generation import Generation
from index_updater.live_index import LiveIndex
from index_updater.vectors import unit_halves, unit_rows

F32 = NDArray[np.float32]
DIM, K, FLOOR = 24, 200, 0.98
HARD = {  # tuned for k = 200
    name: IndexSettings(structure=name, ef_construction=60, ef_search=240, tail_rows=1024)
    for name in ("hnsw", "cells")
}
each_structure = pytest.mark.parametrize("hard", HARD.values(), ids=HARD)


class World:
    """Vectors around centres that can be moved elsewhere."""

    def __init__(self, seed: int, spread: float = 0.7) -> None:
        self.rng, self.spread = np.random.default_rng(seed), spread
        self.centres = self.rng.standard_normal((60, DIM))

    def vectors(self, n: int) -> F32:
        near = self.centres[self.rng.integers(0, len(self.centres), n)]
        return unit_rows((near + self.spread * self.rng.standard_normal((n, DIM))).astype("f4"))

    def move(self, share: float) -> None:
        moved = self.rng.random(len(self.centres)) < share
        self.centres[moved] = self.rng.standard_normal((moved.sum(), DIM))

    def asked(self) -> dict[str, F32]:
        """Queries of several kinds, drawn anew each time."""
        mixed, wide = (self.vectors(n * 40).reshape(40, n, DIM).sum(axis=1) for n in (5, 8))
        return {"new": self.vectors(40), "mixed": unit_rows(mixed), "wide": unit_rows(wide)}


def assert_found(index: LiveIndex, world: World, moment: str) -> None:
    for kind, queries in world.asked().items():
        assert index.shares(queries, K).mean() >= FLOOR, (moment, kind, index.effort)


def settle(index: LiveIndex) -> None:
    while index.maintain():
        pass


@each_structure
@pytest.mark.parametrize("batch", [200, 4000, 12_000])
def test_an_index_that_was_filled_at_once_knows_its_effort(hard: IndexSettings, batch: int) -> None:
    world = World(1)
    index = LiveIndex(DIM, hard, capacity=40_000)
    for start in range(0, 12_000, batch):
        index.upsert(np.arange(start, start + batch), world.vectors(batch))
    settle(index)
    assert index.rebuilds == 0
    assert_found(index, world, "filled")


@each_structure
@pytest.mark.parametrize("in_place", [True, False])
def test_recall_holds_at_every_moment_of_churn(hard: IndexSettings, in_place: bool) -> None:
    world, rows, rng = World(2), 6000, np.random.default_rng(5)
    index = LiveIndex(DIM, hard)
    index.upsert(np.arange(rows), world.vectors(rows))
    settle(index)
    live, fresh = np.arange(rows), rows
    for round_ in range(6):
        world.move(0.1)
        rng.shuffle(live)
        for start in range(0, rows // 10, 300):
            if in_place:
                index.upsert(live[start : start + 300], world.vectors(300))
            else:
                index.remove(live[start : start + 300])
                live[start : start + 300] = np.arange(fresh, fresh + 300)
                fresh += 300
                index.upsert(live[start : start + 300], world.vectors(300))
            index.maintain()
            assert_found(index, world, f"round {round_}, {start} rows")
        settle(index)
    assert index.rebuilds >= 1
    assert sorted(index.ids().tolist()) == sorted(live.tolist())


@each_structure
def test_a_writer_in_a_hurry_does_not_leave_the_dead_behind(hard: IndexSettings) -> None:
    """A search would spend its effort on them."""
    index, world = LiveIndex(DIM, hard), World(3)
    index.upsert(np.arange(4000), world.vectors(4000))
    index.start()
    index.search(world.vectors(1)[0], K)
    try:
        for turn in range(12):
            index.upsert(np.arange(3000), world.vectors(3000))
            assert index.tail_rows <= hard.tail_rows, turn
            assert index.tombstones_left <= hard.tail_rows, turn
            assert_found(index, world, f"turn {turn}")
    finally:
        index.close()


@each_structure
def test_what_died_since_the_exact_best_were_found_is_not_counted_as_missed(
    hard: IndexSettings,
) -> None:
    """A writer in a hurry takes rows out of the graph while the effort is tuned by an older view."""
    index, world = LiveIndex(DIM, hard), World(6)
    index.upsert(np.arange(6000), world.vectors(6000))
    settle(index)
    view, queries = index._view, world.vectors(20)
    exact = exact_search(view, queries, K)
    index.remove(np.arange(0, 6000, 10))
    settle(index)
    assert index.rebuilds == 0
    assert index._shares(view, queries, exact, K, 0).mean() >= FLOOR


def test_the_probe_sees_what_viewers_miss_where_videos_themselves_find_everything() -> None:
    """A graph has no way between clusters far apart: who lies between two of them is served from one."""
    apart = IndexSettings(structure="hnsw", m=6, ef_construction=20, ef_search=10)
    world, rows = World(4, spread=0.1), 6000
    index = LiveIndex(DIM, apart, capacity=3 * rows)
    index.upsert(np.arange(rows), world.vectors(rows))
    settle(index)
    assert index.shares(world.vectors(100), 20).mean() > index.probe(1, 20) + 0.1
    sound = LiveIndex(DIM, IndexSettings(), capacity=3 * rows)
    sound.upsert(np.arange(rows), world.vectors(rows))
    settle(sound)
    assert sound.probe(1, K) >= FLOOR


@given(st.integers(0, 400), st.integers(0, 450), st.floats(0, 1), st.integers(0, 5))
@settings(max_examples=60, deadline=None)
def test_exact_search_is_what_sorting_everything_gives(
    n: int, k: int, dead: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    generation = Generation.empty(DIM, 2000, HARD["hnsw"])
    x = np.repeat(rng.standard_normal((max(n // 2, 1), DIM)), 2, axis=0)[:n].astype("f4")
    ids = np.arange(len(x))
    labels = generation.rows.append(ids, unit_halves(x, ids, DIM))
    generation.kill(labels[rng.random(len(x)) < dead], 0)
    queries = unit_rows(rng.standard_normal((3, DIM)).astype("f4"))
    view = first_view(generation, 8)
    alive = np.flatnonzero(view.alive(labels))
    for query, (found, sims) in zip(queries, exact_search(view, queries, k), strict=True):
        all_sims = generation.rows.floats(alive) @ query
        assert np.allclose(sims, np.sort(all_sims)[::-1][:k], atol=1e-6)
        assert len(set(found.tolist())) == min(k, len(alive))
        assert set(found.tolist()) <= set(alive.tolist())
