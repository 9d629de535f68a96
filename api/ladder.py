"""The degradation ladder: which rung answers. The rule stands here and nowhere else.

full           the personal funnel, with all it needs
no_ranker      the ranker failed: the personal funnel in the order of the bundle's appeal without
               heads, of the fallback where there is no appeal
no_user_state  the store did not answer: the personal funnel on the request's own context; what the
               viewer blocked, refused or has seen is not known
trending       the personal funnel failed or was too late: what many watch
static         nothing of that either: the newest videos that are allowed

A funnel has failed when it raises, is late, or has nothing to show although a component failed. An
empty page without any failure is an answer: there is nothing (more) to show. Of two failures at once
the lower rung is reported.
"""

import asyncio
import logging
from contextlib import nullcontext
from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from api.funnel.funnel import Funnel, Served
from api.funnel.trace import Trace
from contracts.batch import merge
from contracts.errors import NoCandidatesError
from contracts.funnel import Query

log = logging.getLogger(__name__)


class Rung(IntEnum):
    """Best first; the number is what the gauge `headrace_rung` shows."""

    FULL = 0
    NO_RANKER = 1
    NO_USER_STATE = 2
    TRENDING = 3
    STATIC = 4

    @property
    def label(self) -> str:
        """In metrics and impressions."""
        return self.name.lower()

    @property
    def degraded(self) -> str | None:
        """In responses: None for the full feed."""
        return self.label if self else None


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """A page, the rung that made it and the funnel (for the names of its sources)."""

    rung: Rung
    funnel: Funnel
    served: Served
    trace: Trace


@dataclass(frozen=True, slots=True)
class Ladder:
    """The funnels of one endpoint, best first; the last two need less.

    Attributes:
        turns: one for each first funnel that may run at the same time, in this process. The others
            wait in the order in which they came: funnels that share one thread would all be late
            together. Who waits too long gets a lower rung, which needs no turn.
    """

    first: Funnel
    trending: Funnel
    static: Funnel
    turns: asyncio.Semaphore

    async def serve(self, query: Query, known: bool, budget_s: float, trace: Trace) -> Answer:
        """The best rung that works. Never raises for what a component does.

        Args:
            known: whether the store answered.
            budget_s: what is left of the deadline.
        """
        loop = asyncio.get_running_loop()
        until_s = loop.time() + budget_s
        # The lower rungs keep a fifth: they have to run after the first one was too late.
        for rung, funnel, share, turn in (
            (Rung.FULL, self.first, 0.8, self.turns),
            (Rung.TRENDING, self.trending, 0.9, nullcontext()),
        ):
            try:
                async with asyncio.timeout((until_s - loop.time()) * share), turn:
                    # A deadline that is over ends it here: a funnel in memory waits nowhere else.
                    await asyncio.sleep(0)
                    served = await run(funnel, query, trace, may_be_empty=rung is Rung.FULL)
                return Answer(rung or _first_rung(known, trace), funnel, served, trace)
            except (TimeoutError, NoCandidatesError) as e:
                # A matter of load, or said where it failed: counted by rung, and not said each time.
                log.debug("%s: rung %s failed: %r", query.request_id, rung.label, e)
            except Exception as e:
                log.warning("%s: rung %s failed: %r", query.request_id, rung.label, e)
        return Answer(Rung.STATIC, self.static, await self._last(query, trace), trace)

    async def _last(self, query: Query, trace: Trace) -> Served:
        try:
            return await self.static.run(query, trace)
        except Exception:
            log.exception("%s: not even the static rung", query.request_id)
            empty = merge([]).with_columns({"score": np.empty(0, np.float32)})
            return Served(empty, empty)


async def run(funnel: Funnel, query: Query, trace: Trace, may_be_empty: bool) -> Served:
    """One funnel.

    Raises:
        NoCandidatesError: its page is empty, though it may not be or a component has failed.
    """
    failed = len(trace.failed)
    served = await funnel.run(query, trace)
    if not len(served.page) and not (may_be_empty and len(trace.failed) == failed):
        raise NoCandidatesError(f"nothing to show; failed: {trace.failed[failed:]}")
    return served


def _first_rung(known: bool, trace: Trace) -> Rung:
    if not known:
        return Rung.NO_USER_STATE
    return Rung.NO_RANKER if "score.ranker" in trace.failed else Rung.FULL
