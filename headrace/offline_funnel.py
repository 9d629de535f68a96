"""The whole funnel over a log: the same sources, filters, ranker and re-rankers as are served.

State, catalog, statistics and index are folds of the log in memory; nothing of Kafka or Redis. What the
log's own pages showed counts in the statistics, and hides nothing: they were not made by this funnel.
"""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from api import home
from api.dependencies import Dependencies
from api.funnel.funnel import Funnel
from api.funnel.trace import Trace
from api.viewer import Request, context_of
from contracts.errors import HeadraceError, UnavailableError
from contracts.funnel import Query
from contracts.ids import hash64
from contracts.models import Bundle
from contracts.settings import Settings
from index_updater.live_index import LiveIndex
from model_runtime.evaluation.appealing import Appealing
from model_runtime.evaluation.folded import FoldedLog, shown_in
from model_runtime.evaluation.queries import Queries
from model_runtime.evaluation.ranking import Recommender
from model_runtime.evaluation.world import World
from model_runtime.training.stream_state import StreamState
from operators.nearness import embedding_of

_PATIENCE_S: Final = 60.0  # no deadline cuts an evaluation short


@dataclass(frozen=True, slots=True)
class _Nowhere:
    """State comes from the fold and nothing is published: whoever asks is told so."""

    async def get(self, user_id: str) -> Any | None:
        raise UnavailableError("an evaluation reads no store")

    async def wait_for(self, user_id: str, position: Any, deadline_s: float) -> bool:
        raise UnavailableError("an evaluation reads no store")

    def produce(self, topic: str, key: bytes, value: bytes | None, on_ack: Any = None) -> None:
        raise UnavailableError("an evaluation publishes nothing")

    async def send(
        self, topic: str, key: bytes, value: bytes | None, timeout_s: float
    ) -> tuple[int, int]:
        raise UnavailableError("an evaluation publishes nothing")


def funnel_over(state: StreamState, settings: Settings) -> Funnel:
    """The feed's funnel over folds in memory, with every video of the catalog in its index."""
    index = LiveIndex(state.bundle.items.dim, settings.index)
    rows = state.catalog.rows_of(state.ids)
    index.upsert(state.ids[rows >= 0], state.catalog.vectors(rows[rows >= 0]))
    while index.maintain():
        pass
    nowhere = _Nowhere()
    deps = Dependencies(
        settings, state.bundle, state.catalog, index, state.board, nowhere, nowhere,
        lambda: (True, ""), lambda: 0,
    )  # fmt: skip
    return Funnel(home.home(deps), _PATIENCE_S)


class OfflineFunnel:
    """The feed as a recommender: its page and reserve in order, everything else behind them.

    Each event is folded before the next query, so it cannot show a state that is late.
    """

    def __init__(self, bundle: Bundle, settings: Settings, folder: Path | None = None) -> None:
        self._bundle, self._settings, self._folder = bundle, settings, folder
        self.name = f"funnel {bundle.id}"

    def prepare(self, world: World, queries: Queries, learned: NDArray[np.bool_]) -> None:
        """Begin the fold anew, with all videos in catalog and index."""
        log = world.log
        self._log = log
        shown = shown_in(self._folder, log) if self._folder else None
        self._folded = FoldedLog(log, self._bundle, self._settings, shown)
        state = self._folded.state
        self._place = {int(video): i for i, video in enumerate(state.ids.tolist())}
        self._funnel = funnel_over(state, self._settings)

    def scores(self, queries: Queries) -> NDArray[np.float32]:
        """(q, m): minus the place on page and reserve, NaN for what the funnel did not find."""
        return asyncio.run(self._answered(queries))

    async def _answered(self, queries: Queries) -> NDArray[np.float32]:
        out = np.full((len(queries), len(self._folded.state.ids)), np.nan, np.float32)
        asked = zip(
            queries.user.tolist(), queries.at_ms.tolist(), queries.rows.tolist(), strict=True
        )
        for i, (user, at_ms, rows) in enumerate(asked):
            self._folded.to(rows, at_ms)
            trace = Trace()
            served = await self._funnel.run(self._query(user, at_ms, rows), trace)
            if trace.failed:  # serving absorbs it; a figure must not
                raise HeadraceError(f"a part of the funnel failed: {', '.join(trace.failed)}")
            ids = np.r_[served.page.ids, served.reserve.ids].tolist()
            out[i, [self._place[video] for video in ids]] = -np.arange(len(ids))
        return out

    def _query(self, user: int, now_ms: int, rows: int) -> Query:
        folded = self._folded.state
        state = folded.records[user] if folded.there[user] else None
        request_id = f"{rows}-{user}"
        return Query(
            request_id,
            self._log.users[user],
            now_ms,
            limit=10,
            state=state,
            embedding=embedding_of(state, self._bundle),
            seed=hash64(request_id) & 0x7FFF_FFFF_FFFF_FFFF,
            **context_of(state, Request()),
        )


def whole_of(bundle: Bundle, settings: Settings, folder: Path) -> list[Recommender]:
    """What a bundle is beside its towers: the funnel, and what it learned of appeal over all videos."""
    funnel = OfflineFunnel(bundle, settings, folder)
    return [funnel, Appealing(bundle, settings, folder)] if bundle.appeal else [funnel]
