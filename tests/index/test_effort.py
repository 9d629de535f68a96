"""A search may cost less than the index would spend; that is nobody else's business."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from contracts.settings import IndexSettings
from index_updater.live_index import LiveIndex

DIM, K = 16, 10
F32 = NDArray[np.float32]


def unit(n: int, seed: int, dim: int = DIM) -> F32:
    x = np.random.default_rng(seed).standard_normal((n, dim)).astype(np.float32)
    out: F32 = x / np.linalg.norm(x, axis=1, keepdims=True)
    return out


@pytest.mark.parametrize("structure", ["cells", "hnsw"])
def test_searches_of_different_effort_beside_each_other_each_get_their_own(structure: Any) -> None:
    index, queries = LiveIndex(DIM, IndexSettings(structure=structure, ef_search=400)), unit(300, 2)
    index.upsert(np.arange(6000), unit(6000, 1))
    while index.maintain():
        pass

    def search(effort: int) -> list[list[int]]:
        return [index.search(query, K, effort)[0].tolist() for query in queries]

    little, usual = search(K), search(0)
    assert little != usual  # else nothing below could fail
    exact = [index.search_exact(query, K)[0].tolist() for query in queries]
    found = [len(set(a) & set(b)) for a, b in zip(usual, exact, strict=True)]
    assert np.mean(found) / K > 0.98
    with ThreadPoolExecutor(4) as pool:
        for effort, answers in [(e, pool.submit(search, e)) for e in (K, 0, K, 0)]:
            assert answers.result() == (usual if effort == 0 else little)


def test_an_index_that_is_filled_beside_another_is_tuned_once_before_it_takes_over() -> None:
    settings = IndexSettings(structure="cells", ef_search=10)  # too little for 0.98
    dim, k = 48, 8
    index = LiveIndex(dim, settings, capacity=20_000)
    index.fill_beside()
    for start in range(0, 6000, 1000):
        index.upsert(np.arange(start, start + 1000), unit(1000, start + 1, dim))
        while index.maintain():
            pass
    assert (index.effort, index.rebuilds) == (10, 0)
    before = float(index.shares(unit(100, 7, dim), k).mean())
    index.take_over()
    raised = index.effort
    assert raised > 10
    assert index.recall(unit(100, 7, dim), k) > before
    index.take_over()
    assert index.effort == raised
