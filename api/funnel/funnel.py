"""Sources, merge, hydrators | filters, scorers, re-rankers: the runner of one `FunnelSpec`."""

from dataclasses import dataclass

import numpy as np

from api.funnel import checks
from api.funnel.gather import gather, hydrate
from api.funnel.trace import FILTER, RERANK, SCORE, Trace
from contracts.batch import CandidateBatch, Mask, rank_desc
from contracts.funnel import FunnelSpec, OnError, Query, Scorer


@dataclass(frozen=True, slots=True, eq=False)
class Served:
    """The page, and in `reserve` every other row that may be shown, best first."""

    page: CandidateBatch
    reserve: CandidateBatch


@dataclass(frozen=True, slots=True)
class Funnel:
    """Runs one literal. A component that fails or is late is absorbed; the trace says which."""

    spec: FunnelSpec
    deadline_s: float

    async def run(self, query: Query, trace: Trace) -> Served:
        """One request, from retrieval to the page."""
        return self.rank(query, await self.candidates(query, trace), trace)

    async def candidates(self, query: Query, trace: Trace) -> CandidateBatch:
        """The I/O half: the merged candidates with all their columns."""
        batch = await gather(self.spec.sources, query, trace, self.deadline_s)
        trace.order("merge", "all", batch.ids)
        return await hydrate(self.spec.hydrators, query, batch, trace, self.deadline_s)

    def rank(self, query: Query, batch: CandidateBatch, trace: Trace) -> Served:
        """The CPU half: filter, score and order. No I/O: offline replay calls this directly."""
        batch = batch.take(self._keep(query, batch, trace))
        for scorer in self.spec.scorers:
            batch = _scored(scorer, query, batch, trace)
        batch = batch.take(rank_desc(batch["score"]))
        trace.order(SCORE, "sorted", batch.ids)
        for reranker in self.spec.rerankers:
            rows = None
            with trace.contained(RERANK, reranker.name):
                rows = checks.permutation(reranker.rerank(query, batch), len(batch))
            if rows is not None:
                batch = batch.take(rows)
            trace.order(RERANK, reranker.name, batch.ids)
        return Served(batch.take(slice(query.limit)), batch.take(slice(query.limit, None)))

    def _keep(self, query: Query, batch: CandidateBatch, trace: Trace) -> Mask:
        n = len(batch)
        kept = np.ones(n, np.bool_)
        for component in self.spec.filters:
            mask = np.full(n, component.on_error is OnError.KEEP)
            with trace.contained(FILTER, component.name):
                mask = checks.mask(component.keep(query, batch), n)
            trace.removed[component.name] = n - int(np.count_nonzero(mask))
            if trace.detailed:
                trace.order(FILTER, component.name, batch.ids[mask])
            kept &= mask
        if trace.detailed:
            trace.order(FILTER, "all", batch.ids[kept])
        return kept


def _scored(scorer: Scorer, query: Query, batch: CandidateBatch, trace: Trace) -> CandidateBatch:
    columns = None
    with trace.contained(SCORE, scorer.name):
        columns = checks.columns(scorer.score(query, batch), scorer.provides, len(batch))
    if columns is None:
        columns = checks.defaults(scorer.provides, len(batch))
    return batch.with_columns(columns)
