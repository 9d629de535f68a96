"""Work that has to wait is waited for as ever, within its deadline; what is at hand takes no turn."""

import asyncio
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field

import numpy as np
import pytest

from api.funnel.at_once import within
from api.funnel.gather import hydrate
from api.funnel.trace import Trace
from contracts.batch import CandidateBatch, Column, f32, merge
from contracts.funnel import Query


async def patient(rest: Awaitable[int]) -> int:
    return await rest


async def never(rest: Awaitable[int]) -> int:
    raise AssertionError("nothing was to be waited for")


async def after(turns: int) -> int:
    for _ in range(turns):
        await asyncio.sleep(0.001)
    return turns


def test_what_is_at_hand_is_not_waited_for() -> None:
    assert asyncio.run(within(after(0), never)) == 0


@pytest.mark.parametrize("turns", [1, 3])
def test_what_has_to_wait_gives_its_result(turns: int) -> None:
    assert asyncio.run(within(after(turns), patient)) == turns


@pytest.mark.parametrize("turns", [0, 2])
def test_a_failure_is_the_callers(turns: int) -> None:
    async def failing() -> int:
        await after(turns)
        raise LookupError("gone")

    with pytest.raises(LookupError, match="gone"):
        asyncio.run(within(failing(), patient))


def test_work_can_handle_a_failure_of_what_it_waits_for() -> None:
    async def trying() -> int:
        try:
            async with asyncio.timeout(0.001):
                await asyncio.sleep(60)
        except TimeoutError:
            return 7
        return 0

    assert asyncio.run(within(trying(), patient)) == 7


@dataclass
class Slow:
    """A hydrator that takes its time."""

    seconds: float
    ended: list[str] = field(default_factory=list)
    name: str = "slow"
    provides = (f32("slow", -1.0),)

    async def hydrate(self, query: Query, batch: CandidateBatch) -> Mapping[str, Column]:
        try:
            await asyncio.sleep(self.seconds)
        except asyncio.CancelledError:
            self.ended.append("cancelled")
            raise
        return {"slow": np.ones(len(batch), np.float32)}


def test_a_late_hydrator_is_ended_and_its_columns_are_the_defaults() -> None:
    batch, query, trace = merge([(0, np.arange(3))]), Query("r", "ann", 0), Trace()
    quick, slow = Slow(0.001), Slow(60.0)
    got = asyncio.run(hydrate([quick], query, batch, trace, 5.0))
    assert got["slow"].tolist() == [1, 1, 1]
    got = asyncio.run(hydrate([slow], query, batch, trace, 0.02))
    assert got["slow"].tolist() == [-1, -1, -1]
    assert slow.ended == ["cancelled"]
    assert trace.failed == ["hydrate.slow"]
