"""The I/O half of the funnel: sources at once, each with a deadline; then hydrators, in order."""

import asyncio
from collections.abc import Awaitable, Mapping, Sequence

from api.funnel import checks
from api.funnel.at_once import within
from api.funnel.trace import HYDRATE, SOURCE, Trace
from contracts.batch import CandidateBatch, Column, Ids, merge
from contracts.funnel import Hydrator, Query, Source


async def gather(
    sources: Sequence[Source], query: Query, trace: Trace, deadline_s: float
) -> CandidateBatch:
    """The union of what the sources retrieve in time; bit i of `sources` is the i-th source."""
    found: dict[int, Ids] = {}
    # Sources in memory run inline in their tasks, one after the other: a thread for the two searches
    # costs 0.3-0.7 ms a feed more, alone and at 8 at once (docs/LOG.md), for it waits for the GIL.
    tasks = [
        asyncio.create_task(_retrieve(bit, source, query, trace, found), name=source.name)
        for bit, source in enumerate(sources)
    ]
    if tasks:
        _, late = await asyncio.wait(tasks, timeout=deadline_s)
        for task in late:
            task.cancel()
            trace.fail(SOURCE, task.get_name(), "deadline")
    # A source that is cancelled may still finish in its thread: what it found comes too late.
    return merge(sorted(found.copy().items()))


async def _retrieve(
    bit: int, source: Source, query: Query, trace: Trace, found: dict[int, Ids]
) -> None:
    with trace.contained(SOURCE, source.name):
        if source.enabled(query):
            found[bit] = checks.ids(await source.retrieve(query))
            trace.order(SOURCE, source.name, found[bit])


async def hydrate(
    hydrators: Sequence[Hydrator],
    query: Query,
    batch: CandidateBatch,
    trace: Trace,
    deadline_s: float,
) -> CandidateBatch:
    """The batch with every declared column; a hydrator reads what those before it have added."""

    async def in_time(rest: Awaitable[Mapping[str, Column]]) -> Mapping[str, Column]:
        async with asyncio.timeout(deadline_s):
            return await rest

    for hydrator in hydrators:
        columns = None
        with trace.contained(HYDRATE, hydrator.name):
            got = await within(hydrator.hydrate(query, batch), in_time)
            columns = checks.columns(got, hydrator.provides, len(batch))
        if columns is None:
            columns = checks.defaults(hydrator.provides, len(batch))
        batch = batch.with_columns(columns)
    return batch
