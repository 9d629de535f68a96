"""The whole funnel over a log: the same sources, filters, ranker and re-rankers as are served.

State, catalog, statistics and index are folds of the log in memory; nothing of Kafka or Redis. What
other people were shown is not folded: the pages of the log were not made by this funnel.
"""

import asyncio
from dataclasses import dataclass
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
from model_runtime.evaluation.queries import Queries
from model_runtime.evaluation.world import World
from model_runtime.training.replay import profiles_by_time
from model_runtime.training.stream_state import StreamState
from operators.nearness import embedding_of

_PATIENCE_S: Final = 60.0  # no deadline cuts an evaluation short
_STATS_EVERY_MS: Final = 60_000


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


class OfflineFunnel:
    """The feed as a recommender: its page and reserve in order, everything else behind them.

    Each event is folded before the next query, so it cannot show a state that is late.
    """

    def __init__(self, bundle: Bundle, settings: Settings) -> None:
        self._bundle, self._settings = bundle, settings
        self.name = f"funnel {bundle.id}"

    def prepare(self, world: World, queries: Queries, learned: NDArray[np.bool_]) -> None:
        """Begin the fold anew, with all videos in catalog and index."""
        log = world.log
        self._log, self._state = log, StreamState(
            self._bundle, log.users, log.videos, log.published, self._settings
        )  # fmt: skip
        self._place = {int(video): i for i, video in enumerate(self._state.ids.tolist())}
        index = LiveIndex(self._bundle.items.dim, self._settings.index)
        ids = self._state.ids[: log.published]
        index.upsert(ids, self._state.catalog.vectors(self._state.catalog.rows_of(ids)))
        nowhere = _Nowhere()
        self._deps = Dependencies(
            self._settings, self._bundle, self._state.catalog, index, self._state.board, nowhere,
            nowhere, lambda: (True, ""), lambda: 0,
        )  # fmt: skip
        self._funnel = Funnel(home.home(self._deps), _PATIENCE_S)
        self._profiles = profiles_by_time(log, log.users)
        self._told = self._folded = 0
        self._flushed_ms = -_STATS_EVERY_MS

    def scores(self, queries: Queries) -> NDArray[np.float32]:
        """(q, m): minus the place on page and reserve, NaN for what the funnel did not find."""
        return asyncio.run(self._answered(queries))

    async def _answered(self, queries: Queries) -> NDArray[np.float32]:
        out = np.full((len(queries), len(self._state.ids)), np.nan, np.float32)
        asked = zip(
            queries.user.tolist(), queries.at_ms.tolist(), queries.rows.tolist(), strict=True
        )
        for i, (user, at_ms, rows) in enumerate(asked):
            self._fold(rows, at_ms)
            trace = Trace()
            served = await self._funnel.run(self._query(user, at_ms, rows), trace)
            if trace.failed:  # serving absorbs it; a figure must not
                raise HeadraceError(f"a part of the funnel failed: {', '.join(trace.failed)}")
            ids = np.r_[served.page.ids, served.reserve.ids].tolist()
            out[i, [self._place[video] for video in ids]] = -np.arange(len(ids))
        return out

    def _fold(self, rows: int, now_ms: int) -> None:
        """Everything that arrived before the query, event by event, and the statistics of it."""
        while self._told < len(self._profiles) and self._profiles[self._told][0] <= now_ms:
            user = self._profiles[self._told][1]
            self._state.tell(user, self._log.profiles[self._log.users[user]])
            self._told += 1
        texts = self._log.queries
        new = range(self._folded, rows)
        queries = {row - new.start: texts[row] for row in new if row in texts} if texts else {}
        self._state.fold(self._log.rows[new.start : new.stop], queries)
        self._folded = max(rows, self._folded)
        if now_ms - self._flushed_ms >= _STATS_EVERY_MS:
            self._state.flush()
            catalog = self._state.catalog
            self._state.board.refresh(
                now_ms, lambda ids: catalog.columns(catalog.rows_of(ids))["category"]
            )
            self._flushed_ms = now_ms

    def _query(self, user: int, now_ms: int, rows: int) -> Query:
        state = self._state.records[user] if self._state.there[user] else None
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
