"""The I/O half of the funnel: sources, with a deadline for those that wait; then hydrators, in order."""

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from functools import cache
from inspect import iscoroutinefunction
from typing import cast

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
    tasks = [
        asyncio.create_task(_waited(bit, source, query, trace, found), name=source.name)
        for bit, source in enumerate(sources)
        if _waits(type(source))
    ]
    # In memory inline, one after the other: a task for each costs 0.25 ms a feed, and a thread for the
    # two searches 0.3-0.7 ms, alone and at 8 at once (docs/LOG.md), for it waits for the GIL.
    for bit, source in enumerate(sources):
        if not _waits(type(source)):
            _read(bit, source, query, trace, found)
    if tasks:
        _, late = await asyncio.wait(tasks, timeout=deadline_s)
        for task in late:
            task.cancel()
            trace.fail(SOURCE, task.get_name(), "deadline")
    # A source that is cancelled may still finish in its thread: what it found comes too late.
    return merge(sorted(found.copy().items()))


@cache
def _waits(kind: type[Source]) -> bool:
    return iscoroutinefunction(kind.retrieve)


def _read(bit: int, source: Source, query: Query, trace: Trace, found: dict[int, Ids]) -> None:
    with trace.contained(SOURCE, source.name):
        if source.enabled(query):
            found[bit] = checks.ids(cast(Ids, source.retrieve(query)))
            trace.order(SOURCE, source.name, found[bit])


async def _waited(
    bit: int, source: Source, query: Query, trace: Trace, found: dict[int, Ids]
) -> None:
    with trace.contained(SOURCE, source.name):
        if source.enabled(query):
            found[bit] = checks.ids(await cast(Awaitable[Ids], source.retrieve(query)))
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
