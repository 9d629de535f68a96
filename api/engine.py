"""The service behind the recommendation routes: one request in, one page out, effects afterwards."""

import asyncio
import secrets
import time
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from api import home
from api.dependencies import Dependencies
from api.freshness import FreshnessMeter
from api.funnel.funnel import Funnel
from api.funnel.funnel import Served as FunnelServed
from api.funnel.trace import Trace
from api.impressions import Impressions, impression_of
from api.ladder import Answer, Ladder
from api.page import Item, Page, items_of
from api.rerankers.explore import propensities
from api.tokens import Tokens
from api.viewer import Request, Viewer, context_of, look_up
from contracts.errors import BundleError
from contracts.funnel import FunnelSpec, Query
from contracts.ids import fold32_array, hash64, pack_country
from contracts.metrics import FEED_SECONDS, RUNG
from operators.nearness import embedding_of

VARIANT: Final = "home"  # the literal that ran; an experiment has another one
_STATE_SHARE: Final = 0.6  # of the deadline that reading the state may use up


@dataclass(frozen=True, slots=True, eq=False)
class Served:
    """A page and what is needed for its effects: metrics and the impression."""

    page: Page
    query: Query
    viewer: Viewer
    answer: Answer
    latency_s: float
    answered_ms: int


class Engine:
    """Everything that the routes share in one process, of one bundle: a request uses one engine."""

    def __init__(self, deps: Dependencies, before: "Engine | None" = None) -> None:
        """Build the funnels.

        Args:
            before: the engine of another bundle, whose tokens and memory of viewers stay good.

        Raises:
            BundleError: the ranker reads a column that nobody provides.
            ConfigError: several workers without a common token secret.
        """
        self.deps = deps
        self.tokens: Tokens = before.tokens if before else Tokens.of(deps.settings.api)
        self.meter: FreshnessMeter = before.meter if before else FreshnessMeter()
        self.impressions = Impressions(deps.publisher)
        # Both bundles' engines share one thread while one goes live.
        self.turns: asyncio.Semaphore = (
            before.turns if before else asyncio.Semaphore(deps.settings.feed.at_once)
        )
        lower = (
            self._funnel(home.rung_trending(deps)), self._funnel(home.rung_static(deps)), self.turns,
        )  # fmt: skip
        spec = home.home(deps)
        _check_features(deps, spec)
        self.ladders = {
            "feed": Ladder(self._funnel(spec), *lower),
            "similar": Ladder(self._funnel(home.similar(deps)), *lower),
            "trending": Ladder(self._funnel(home.trending(deps)), *lower),
        }

    def _funnel(self, spec: FunnelSpec) -> Funnel:
        return Funnel(spec, self.deps.settings.feed.source_deadline_ms / 1000)

    async def serve(self, surface: str, request: Request, trace: Trace | None = None) -> Served:
        """One page of "feed", "similar" or "trending".

        Raises:
            TokenError: the page token is not one of ours for this viewer and list.
        """
        started = time.perf_counter()
        scope = _list_of(surface, request)
        served = np.empty(0, np.uint32)
        if request.page_token:
            served = self.tokens.open_page(scope, request.user_id, request.page_token)
        viewer = await self.look_up(request)
        query = self.query(request, viewer, served)
        spent_s = time.perf_counter() - started - viewer.held_s  # a client asked to be held
        budget_s = max(self.deps.settings.feed.deadline_ms / 1000 - spent_s, 0.0)
        answer = await self.ladders[surface].serve(query, viewer.known, budget_s, trace or Trace())
        answer = self._settled(answer)
        items = self.items(answer, query)
        token = self._next(scope, answer, query)
        latency_s = time.perf_counter() - started
        page = Page(
            items, token, round(latency_s * 1000), query.request_id, self.deps.bundle.id,
            answer.rung.degraded,
        )  # fmt: skip
        return Served(page, query, viewer, answer, latency_s, self.deps.clock_ms())

    async def look_up(self, request: Request) -> Viewer:
        """The viewer, within a share of the deadline; a position token may hold it longer."""
        feed = self.deps.settings.feed
        # The reader has its own timeout; a little later this one ends what does not keep it.
        timeout_s = min(
            1.2 * self.deps.settings.redis.timeout_s, _STATE_SHARE * feed.deadline_ms / 1000
        )
        wait_s = feed.after_wait_ms / 1000
        return await look_up(self.deps.users, request.user_id, request.after, timeout_s, wait_s)

    def query(
        self, request: Request, viewer: Viewer, served: NDArray[np.uint32], request_id: str = ""
    ) -> Query:
        """The funnel's question; another one each time, unless a request is asked about again."""
        request_id = request_id or secrets.token_hex(8)
        return Query(
            request_id=request_id,
            user_id=request.user_id,
            now_ms=self.deps.clock_ms(),
            limit=request.limit,
            surface=request.surface,
            state=viewer.state,
            embedding=embedding_of(viewer.state, self.deps.bundle),
            served=served,
            seed=hash64(request_id) & 0x7FFF_FFFF_FFFF_FFFF,
            anchor=request.anchor,
            category=request.category,
            **context_of(viewer.state, request),
        )

    def _settled(self, answer: Answer) -> Answer:
        """With each place's `propensity`, then without what was removed while the page was made.

        In this order, since a place is known as drawn by its number; a removed video is never shown.
        """
        page = answer.served.page
        chance = propensities(page, self.deps.settings.feed.explore_every)
        page = page.with_columns({"propensity": chance})
        if len(page) and not (same := self.deps.catalog.still_at(page["row"], page.ids)).all():
            page = page.take(same)
        return replace(answer, served=FunnelServed(page, answer.served.reserve))

    def items(self, answer: Answer, query: Query) -> list[Item]:
        """The page as objects."""
        names = [source.name for source in answer.funnel.spec.sources]
        return items_of(
            answer.served.page, query, self.deps.catalog, names, self.tokens, self.deps.bundle.id,
            VARIANT,
        )  # fmt: skip

    def _next(self, scope: str, answer: Answer, query: Query) -> str | None:
        if not len(answer.served.reserve):
            return None
        shown = np.concatenate([query.served, fold32_array(answer.served.page.ids)])
        return self.tokens.page(scope, query.user_id, shown)

    async def after_response(self, surface: str, served: Served) -> None:
        """Effects, after the response: metrics, freshness, the impression."""
        served.answer.trace.publish()
        query, rung = served.query, served.answer.rung
        if surface == "feed":
            # Without the time that a position token held it: that is freshness, not latency.
            FEED_SECONDS.labels(rung.label).observe(served.latency_s - served.viewer.held_s)
            RUNG.set(rung)
            self.meter.observe(
                query.user_id, served.viewer.state, served.viewer.waited, served.answered_ms,
                served.latency_s,
            )  # fmt: skip
        impression = impression_of(
            query,
            served.answer.served.page,
            [item.video_id for item in served.page.items],
            bundle=self.deps.bundle.id,
            variant=VARIANT,
            rung=rung.label,
        )
        self.impressions.publish(impression)


def _list_of(surface: str, request: Request) -> str:
    """Which list is paged through: a page token is good for this one alone."""
    if surface == "trending":
        return f"{surface}:{pack_country(request.country)}:{request.category}"
    return f"{surface}:{request.anchor}"


def _check_features(deps: Dependencies, spec: FunnelSpec) -> None:
    provided = {column.name for hydrator in spec.hydrators for column in hydrator.provides}
    appeal = deps.bundle.appeal
    needed = {*deps.bundle.ranker.features, *(appeal.features if appeal else ())}
    if missing := needed - provided:
        raise BundleError(f"bundle {deps.bundle.id} reads {sorted(missing)}: nobody has it")
