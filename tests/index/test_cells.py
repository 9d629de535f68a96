"""Cells hold what was put into them, whatever was cut, moved and taken out, and find the best of it."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from contracts.settings import IndexSettings
from index_updater.cells import Cells
from index_updater.graph import Graph
from index_updater.live_index import LiveIndex
from index_updater.vectors import unit_rows

F32 = NDArray[np.float32]
DIM = 16
SETTINGS = IndexSettings(structure="cells", tail_rows=64)
EVERYTHING = 1 << 20


def vectors(n: int, seed: int) -> F32:
    """Around four centres of very different sizes."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((4, DIM))[rng.choice(4, n, p=[0.7, 0.2, 0.09, 0.01])]
    return unit_rows((centres + 0.3 * rng.standard_normal((n, DIM))).astype("f4"))


def assert_same(cells: Cells | Graph, held: dict[int, F32], seed: int) -> None:
    labels = np.array(sorted(held), np.int64)
    assert cells.live == len(held)
    if not held:
        assert len(cells.search(vectors(1, seed)[0], 5)[0]) == 0
        return
    rows = np.stack([held[label] for label in labels.tolist()])
    for query in vectors(3, seed):
        found, sims = cells.search(query, 50, EVERYTHING)
        assert len(set(found.tolist())) == len(found) == min(50, len(held))
        assert np.allclose(sims, np.sort(rows @ query)[::-1][:50], atol=1e-5)
        assert np.allclose(sims, np.stack([held[i] for i in found.tolist()]) @ query, atol=1e-5)


@given(st.lists(st.tuples(st.integers(1, 1500), st.floats(0, 0.9)), max_size=6), st.integers(0, 99))
@settings(max_examples=25, deadline=None)
def test_any_history_is_searched_like_a_dictionary(
    turns: list[tuple[int, float]], seed: int
) -> None:
    cells, held, rng = Cells(DIM, 10_000, SETTINGS), dict[int, F32](), np.random.default_rng(seed)
    next_label = 0
    for n, gone in turns:
        x = vectors(n, seed + n)
        cells.add(np.arange(next_label, next_label + n), x, 1)
        held |= dict(zip(range(next_label, next_label + n), x, strict=True))
        next_label += n
        for label in rng.permutation(sorted(held))[: int(gone * len(held))].tolist():
            cells.mark(label)
            del held[label]
        assert_same(cells, held, seed)


def test_labels_may_run_far_ahead_of_the_rows() -> None:
    cells, x = Cells(DIM, 100, SETTINGS), vectors(60, 1)
    for start in (0, 20, 40):
        cells.add(np.arange(20) + 1000 * start, x[start : start + 20], 1)
    labels = [1000 * start + i for start in (0, 20, 40) for i in range(20)]
    assert_same(cells, dict(zip(labels, x, strict=True)), 3)


@pytest.mark.parametrize("kind", ["equal", "two", "line"])
def test_rows_that_hardly_fall_apart_are_cut_all_the_same(kind: str) -> None:
    x = {
        "equal": np.repeat(vectors(1, 1), 6000, axis=0),
        "two": np.repeat(vectors(2, 1), 3000, axis=0),
        "line": unit_rows(np.linspace(vectors(1, 1)[0], vectors(1, 2)[0], 6000)),
    }[kind].astype(np.float32)
    cells = Cells(DIM, 6000, SETTINGS)
    cells.add(np.arange(6000), x, 1)
    assert_same(cells, dict(enumerate(x)), 3)


def test_one_place_filled_to_the_capacity_needs_no_more_cells_than_there_are() -> None:
    x = unit_rows(vectors(1, 1) + 1e-3 * vectors(30_000, 2))
    cells = Cells(DIM, 30_000, SETTINGS)
    cells.add(np.arange(30_000), x, 1)
    assert cells.room == 0
    assert_same(cells, dict(enumerate(x)), 3)


def test_what_was_saved_is_there_again(tmp_path: Path) -> None:
    cells, x = Cells(DIM, 9000, SETTINGS), vectors(5000, 1)
    cells.add(np.arange(5000), x, 1)
    for label in range(0, 5000, 3):
        cells.mark(label)
    cells.save(tmp_path / "cells")
    held = {i: x[i] for i in range(5000) if i % 3}
    again = Cells(DIM, 9000, SETTINGS, tmp_path / "cells")
    assert_same(again, held, 2)
    again.add(np.arange(5000, 9000), vectors(4000, 5), 1)
    assert_same(again, held | dict(zip(range(5000, 9000), vectors(4000, 5), strict=True)), 2)
    Graph(DIM, 10, IndexSettings()).save(tmp_path / "graph")
    with pytest.raises(ValueError, match=r"."):
        Cells(DIM, 10, SETTINGS, tmp_path / "graph")


def test_viewers_between_clusters_far_apart_are_served_as_well_as_others() -> None:
    """Where a graph has no way from one cluster to the next: its search stays where it arrived."""
    rng, wide, n = np.random.default_rng(1), 64, 40_000
    centres = rng.standard_normal((20, wide))
    x = unit_rows(
        (centres[rng.integers(0, 20, n)] + 0.4 * rng.standard_normal((n, wide))).astype("f4")
    )
    index = LiveIndex(wide, SETTINGS.model_copy(update={"tail_rows": 2048}))
    index.upsert(np.arange(n), x)
    while index.maintain():
        pass
    for tastes in (1, 3, 8):
        asked = unit_rows(x[rng.choice(n, (40, tastes))].sum(axis=1))
        assert index.shares(asked, 500).mean() >= 0.98, tastes
