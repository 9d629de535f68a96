"""Laws of every component that the literals list: a new one is tested by existing."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api import home
from api.engine import Engine
from api.funnel import checks
from api.funnel.funnel import Funnel
from api.funnel.gather import hydrate
from api.funnel.trace import Trace
from api.viewer import Request
from contracts.batch import CandidateBatch, Column, ColumnSpec, Ids, Mask, Rows, merge
from contracts.funnel import Filter, FunnelSpec, OnError, Query, Reranker, Scorer
from contracts.ids import hash64
from tests.api.worlds import World, busy_world

WORLD = busy_world()
SPECS = {
    "home": home.home(WORLD.deps),
    "similar": home.similar(WORLD.deps),
    "trending": home.trending(WORLD.deps),
    "rung_trending": home.rung_trending(WORLD.deps),
    "rung_static": home.rung_static(WORLD.deps),
}
laws = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))


def query_of(made: World = WORLD, user: str = "ann", **changes: Any) -> Query:
    request = Request(user_id=user, limit=10, anchor=hash64("v0"))
    engine = Engine(made.deps)
    viewer = asyncio.run(engine.look_up(request))
    return replace(engine.query(request, viewer, np.empty(0, np.uint32), "r1"), **changes)


def candidates(spec: FunnelSpec, ids: list[str], query: Query) -> CandidateBatch:
    batch = merge([(i % 3, np.array([hash64(v)], np.int64)) for i, v in enumerate(ids)])
    return asyncio.run(hydrate(spec.hydrators, query, batch, Trace(), 1.0))


def scored(spec: FunnelSpec, batch: CandidateBatch, query: Query) -> CandidateBatch:
    for scorer in spec.scorers:
        batch = batch.with_columns(scorer.score(query, batch))
    return batch


videos = st.lists(st.integers(0, 130).map(lambda i: f"v{i}"), unique=True, max_size=40)
QUERY = query_of()


@pytest.mark.parametrize("name", SPECS)
@laws
@given(videos, st.randoms(use_true_random=False))
def test_columns_and_masks_follow_their_rows(name: str, ids: list[str], rnd: Any) -> None:
    spec = SPECS[name]
    batch = candidates(spec, ids, QUERY)
    order = np.array(rnd.sample(range(len(batch)), len(batch)), np.intp)
    shuffled = CandidateBatch(batch.ids[order], batch.sources[order], {})
    again = asyncio.run(hydrate(spec.hydrators, QUERY, shuffled, Trace(), 1.0))
    for hydrator in spec.hydrators:
        for column in hydrator.provides:
            np.testing.assert_allclose(again[column.name], batch[column.name][order], rtol=1e-5)
    for component in spec.filters:
        kept, expected = component.keep(QUERY, again), component.keep(QUERY, batch)[order]
        np.testing.assert_array_equal(kept, expected, component.name)
    one, other = scored(spec, batch, QUERY), scored(spec, again, QUERY)
    for scorer in spec.scorers:
        for column in scorer.provides:
            np.testing.assert_allclose(other[column.name], one[column.name][order], rtol=1e-4)


@pytest.mark.parametrize("name", SPECS)
@laws
@given(videos)
def test_filters_commute_and_are_idempotent(name: str, ids: list[str]) -> None:
    spec = SPECS[name]
    batch = candidates(spec, ids, QUERY)
    for first in spec.filters:
        once = batch.take(first.keep(QUERY, batch))
        assert first.keep(QUERY, once).all(), first.name
        for second in spec.filters:
            there = once.take(second.keep(QUERY, once))
            second_first = batch.take(second.keep(QUERY, batch))
            back = second_first.take(first.keep(QUERY, second_first))
            np.testing.assert_array_equal(there.ids, back.ids)


@pytest.mark.parametrize("name", SPECS)
@laws
@given(videos, st.integers(1, 60))
def test_rerankers_are_permutations(name: str, ids: list[str], limit: int) -> None:
    spec, query = SPECS[name], replace(QUERY, limit=limit)
    batch = scored(spec, candidates(spec, ids, query), query)
    for reranker in spec.rerankers:
        rows = reranker.rerank(query, batch)
        assert sorted(rows.tolist()) == list(range(len(batch))), reranker.name


@pytest.mark.parametrize("name", SPECS)
@pytest.mark.parametrize("ids", [[], ["v1"], ["unknown"]], ids=["none", "one", "unknown"])
@pytest.mark.parametrize("user", ["ann", "nobody"])
def test_no_row_one_row_and_an_unknown_row_work_everywhere(
    name: str, ids: list[str], user: str
) -> None:
    spec, query, trace = SPECS[name], query_of(user=user), Trace()
    served = Funnel(spec, 1.0).rank(query, candidates(spec, ids, query), trace)
    assert not trace.failed
    assert len(served.page) == (1 if ids == ["v1"] else 0)


@pytest.mark.parametrize("name", SPECS)
def test_page_and_reserve_are_the_kept_rows_and_ids_are_unique(name: str) -> None:
    spec, trace = SPECS[name], Trace()
    funnel = Funnel(spec, 1.0)
    batch = asyncio.run(funnel.candidates(QUERY, trace))
    served = funnel.rank(QUERY, batch, trace)
    kept = np.all([f.keep(QUERY, batch) for f in spec.filters], axis=0)
    shown = np.concatenate([served.page.ids, served.reserve.ids])
    assert sorted(shown.tolist()) == sorted(batch.ids[kept].tolist())
    assert len(set(shown.tolist())) == len(shown)
    assert not trace.failed


@dataclass(frozen=True)
class Broken:
    """Any component, with every method raising."""

    name: str
    provides: tuple[ColumnSpec, ...] = ()
    on_error: OnError = OnError.KEEP

    def enabled(self, query: Query) -> bool:
        return True

    async def retrieve(self, query: Query) -> Ids:
        raise RuntimeError("broken")

    async def hydrate(self, query: Query, batch: CandidateBatch) -> Mapping[str, Column]:
        raise RuntimeError("broken")

    def keep(self, query: Query, batch: CandidateBatch) -> Mask:
        raise RuntimeError("broken")

    def score(self, query: Query, batch: CandidateBatch) -> Mapping[str, Column]:
        raise RuntimeError("broken")

    def rerank(self, query: Query, batch: CandidateBatch) -> Rows:
        raise RuntimeError("broken")


def broken(component: Any) -> Broken:
    return Broken(
        component.name,
        getattr(component, "provides", ()),
        getattr(component, "on_error", OnError.KEEP),
    )


PARTS = ("sources", "hydrators", "filters", "scorers", "rerankers")
EACH = [(part, i) for part in PARTS for i in range(len(getattr(SPECS["home"], part)))]


@pytest.mark.parametrize(
    ("part", "i"), EACH, ids=[f"{p}-{getattr(SPECS['home'], p)[i].name}" for p, i in EACH]
)
def test_any_one_component_may_raise(part: str, i: int) -> None:
    spec = SPECS["home"]
    parts = list(getattr(spec, part))
    parts[i] = broken(parts[i])
    trace = Trace()
    served = asyncio.run(Funnel(replace(spec, **{part: parts}), 1.0).run(QUERY, trace))
    assert [f.split(".")[1] for f in trace.failed] == [parts[i].name]
    drops_all = part == "filters" and parts[i].on_error is OnError.DROP
    if drops_all or parts[i].name == "video_facts":
        assert not len(served.page)  # safety first: the ladder goes one rung down
    else:
        assert len(served.page) == QUERY.limit


def test_a_component_that_lies_about_its_answer_is_a_failed_component() -> None:
    n = 3
    spec = ColumnSpec("x", np.dtype(np.float32), 0.0)
    for wrong in ({}, {"y": np.zeros(n)}, {"x": np.zeros(n + 1)}, {"x": np.zeros((n, 2))}):
        with pytest.raises(ValueError, match="x"):
            checks.columns(wrong, (spec,), n)
    for rows in ([0, 1], [0, 0, 1], [0, 1, 3], [-1, 0, 1]):
        with pytest.raises(ValueError, match=r"permutation|negative"):
            checks.permutation(np.array(rows), n)
    with pytest.raises(ValueError, match="mask"):
        checks.mask(np.ones(n + 1, np.bool_), n)
    with pytest.raises(ValueError, match="ids"):
        checks.ids(np.ones((2, 2), np.int64))


@dataclass(frozen=True)
class Hidden:
    """A source that waits, in a wrapper that does not say so."""

    name: str

    def enabled(self, query: Query) -> bool:
        return True

    def retrieve(self, query: Query) -> Any:
        return Broken(self.name).retrieve(query)


@pytest.mark.filterwarnings("error")
def test_a_source_that_hides_that_it_waits_is_left_out_and_told_why(
    caplog: pytest.LogCaptureFixture,
) -> None:
    spec = SPECS["home"]
    trace = Trace()
    sources = [Hidden(spec.sources[0].name), *spec.sources[1:]]
    served = asyncio.run(Funnel(replace(spec, sources=sources), 1.0).run(QUERY, trace))
    assert trace.failed == [f"source.{sources[0].name}"]
    assert len(served.page) == QUERY.limit
    assert "async def retrieve" in caplog.text


def test_components_have_the_shape_of_their_protocol() -> None:
    spec = SPECS["home"]
    filters: list[Filter] = list(spec.filters)
    scorers: list[Scorer] = list(spec.scorers)
    rerankers: list[Reranker] = list(spec.rerankers)
    everything = [*spec.sources, *spec.hydrators, *filters, *scorers, *rerankers]
    names = [c.name for c in everything]
    assert len(names) == len(set(names))
    assert all(name == name.lower() and name.isidentifier() for name in names)
    assert [c.name for c in spec.scorers[-1].provides] == ["score"]
