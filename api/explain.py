"""Why a video stands where it stands, or is missing: the funnel run again, with every order kept.

Nothing is remembered of the request itself: any worker can answer, and what it answers is how things
stand now, the page itself not counted as shown. What the viewer watched since then shows as removed
by `not_seen`.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import msgspec
import numpy as np

from api.engine import Engine
from api.funnel.funnel import Funnel
from api.funnel.gather import hydrate
from api.funnel.trace import Trace
from api.ladder import Answer
from api.viewer import Request
from contracts.batch import CandidateBatch, merge
from contracts.features import FEATURE_COLUMNS
from contracts.funnel import Query
from contracts.ids import hash64

NOTE: Final = (
    "Computed now by running the funnel again for this viewer: the page that was served may have "
    "differed by what happened since."
)


class StageMove(msgspec.Struct, frozen=True):
    """Position among the rows before and after a stage; None where it was not among them."""

    stage: str
    before: int | None
    after: int | None


class Explained(msgspec.Struct, frozen=True):
    """One video. Positions are 0-based; `sources` says its rank in each source that found it."""

    video_id: str
    position: int | None
    sources: dict[str, int]
    removed_by: list[str]
    features: dict[str, float | None]
    scores: dict[str, float | None]
    stages: list[StageMove]


class Step(msgspec.Struct, frozen=True):
    """One component's run."""

    stage: str
    step: str
    ms: float
    failed: bool
    rows: int | None


class Explanation(msgspec.Struct, frozen=True):
    """A viewer's feed, taken apart."""

    user_id: str
    request_id: str
    bundle: str
    degraded: str | None
    recomputed: bool
    note: str
    steps: list[Step]
    videos: list[Explained]


async def explain(
    engine: Engine, request: Request, video_id: str | None, request_id: str = ""
) -> Explanation:
    """The first `request.limit` videos of the viewer's feed, or one video wherever it stands.

    Args:
        request_id: of the request to be repeated, so that what it drew at random is drawn again.
    """
    viewer = await engine.look_up(request)
    if request_id and viewer.state is not None:
        viewer = replace(viewer, state=_before_it_was_shown(viewer.state))
    query = engine.query(request, viewer, np.empty(0, np.uint32), request_id)
    trace = Trace(detailed=True)
    deadline_s = engine.deps.settings.feed.deadline_ms / 1000
    answer = await engine.ladders["feed"].serve(query, viewer.known, deadline_s, trace)
    wanted = answer.served.page.ids if video_id is None else np.array([hash64(video_id)], np.int64)
    return Explanation(
        user_id=query.user_id,
        request_id=query.request_id,
        bundle=engine.deps.bundle.id,
        degraded=answer.rung.degraded,
        recomputed=True,
        note=NOTE,
        steps=_steps(trace),
        videos=[await _explained(engine, answer, query, int(video)) for video in wanted],
    )


def _before_it_was_shown(state: Any) -> Any:
    """The record without what was shown: the page that is explained is among it by now."""
    before = state.copy()
    before["shown"][:] = 0
    return before


async def _explained(engine: Engine, answer: Answer, query: Query, video: int) -> Explained:
    orders = dict(answer.trace.orders)
    place = {name: _place(ids, video) for name, ids in orders.items()}
    one = _row(answer, video)
    if one is None:
        one = await _alone(answer.funnel, query, video)
    row = int(one["row"][0])
    scorers = [spec.name for scorer in answer.funnel.spec.scorers for spec in scorer.provides]
    names = {f"source.{source.name}": source.name for source in answer.funnel.spec.sources}
    filters = [f.name for f in answer.funnel.spec.filters]
    merged = place.get("merge.all") is not None
    chain = ["merge.all", "filter.all", *[n for n in orders if n.startswith(("score.", "rerank."))]]
    stages = [n for n in chain if n in orders]
    return Explained(
        video_id=engine.deps.catalog.video_id(row) if row >= 0 else "",
        position=place.get(stages[-1]) if stages else None,
        sources={names[n]: at for n, at in place.items() if n in names and at is not None},
        removed_by=[f for f in filters if merged and place.get(f"filter.{f}") is None],
        features=_values(one, [spec.name for spec in FEATURE_COLUMNS]),
        scores=_values(one, scorers),
        stages=[
            StageMove(after, place[before] if before else None, place[after])
            for before, after in zip(["", *stages[:-1]], stages, strict=True)
        ],
    )


def _row(answer: Answer, video: int) -> CandidateBatch | None:
    for part in (answer.served.page, answer.served.reserve):
        if (at := _place(part.ids, video)) is not None:
            return part.take(np.array([at], np.intp))
    return None


async def _alone(funnel: Funnel, query: Query, video: int) -> CandidateBatch:
    """Features and scores of a video that was not retrieved, or was removed: as if it had not been."""
    trace = Trace()
    batch = merge([(0, np.array([video], np.int64))])
    batch = await hydrate(funnel.spec.hydrators, query, batch, trace, funnel.deadline_s)
    open_funnel = Funnel(replace(funnel.spec, filters=()), funnel.deadline_s)
    return open_funnel.rank(query, batch, trace).page


def _place(ids: Any, video: int) -> int | None:
    found = np.flatnonzero(ids == video)
    return int(found[0]) if len(found) else None


def _values(one: CandidateBatch, names: Sequence[str]) -> dict[str, float | None]:
    values = {name: float(one[name][0]) for name in names if name in one.columns}
    return {k: round(v, 6) if math.isfinite(v) else None for k, v in values.items()}


def _steps(trace: Trace) -> list[Step]:
    rows = {name: len(ids) for name, ids in trace.orders}
    return [
        Step(
            stage, step, round(1000 * seconds, 3), f"{stage}.{step}" in trace.failed,
            rows.get(f"{stage}.{step}"),
        )
        for stage, step, seconds in trace.timings
    ]  # fmt: skip
