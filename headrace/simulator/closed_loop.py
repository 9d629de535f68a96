"""Runs the whole simulation: the catalogue first, then viewers and creators until the end."""

import asyncio
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import httpx

from headrace.json_file import write_to
from headrace.simulator.catalogue import Catalogue
from headrace.simulator.client import Client
from headrace.simulator.meters import Meters
from headrace.simulator.plan import Plan, World
from headrace.simulator.publishing import publish_first, trickle
from headrace.simulator.quality import Quality
from headrace.simulator.report import Report, Reporter
from headrace.simulator.viewing import live

_CONNECTIONS: Final = 64
_TIMEOUT_S: Final = 10.0
_REPORT_EVERY_S: Final = 1.0
_LOOK_EVERY_S: Final = 0.2


def run(
    api_url: str,
    plan: Plan | None = None,
    *,
    report: Report | Path | None = None,
    stop: threading.Event | None = None,
    advance: Callable[[int], None] | None = None,
    api_key: str | None = None,
) -> dict[str, Any]:
    """Simulate until the plan's seconds are over or `stop` is set; the last figures.

    Args:
        api_url: of a running engine, for example "http://127.0.0.1:8080".
        plan: sizes, pace and seed.
        report: a file that is replaced every second, or a function that is called with the figures.
        stop: ends the simulation within a second.
        advance: called with 1 for each clip of the first catalogue.
        api_key: sent as a bearer token.
    """
    tell = write_to(report) if isinstance(report, Path) else report or (lambda _: None)
    return asyncio.run(
        _simulate(
            api_url, plan or Plan(), tell, stop or threading.Event(),
            advance or (lambda _: None), api_key,
        )
    )  # fmt: skip


def _world(plan: Plan, http: httpx.AsyncClient) -> World:
    now_ms = time.time_ns() // 1_000_000
    return World(
        plan,
        Client(http),
        Catalogue(plan.seed, plan.creators),
        Meters(plan.window_s),
        Quality(plan.viewers, plan.window_s, plan.seed),
        now_s=time.monotonic,
        now_ms=lambda: time.time_ns() // 1_000_000,
        nonce=f"{now_ms:x}",
    )


async def _simulate(
    api_url: str,
    plan: Plan,
    tell: Report,
    stop: threading.Event,
    advance: Callable[[int], None],
    api_key: str | None,
) -> dict[str, Any]:
    limits = httpx.Limits(max_connections=_CONNECTIONS, max_keepalive_connections=_CONNECTIONS)
    headers = {"authorization": f"Bearer {api_key}"} if api_key else {}
    async with httpx.AsyncClient(
        base_url=api_url, limits=limits, timeout=_TIMEOUT_S, headers=headers, trust_env=False
    ) as http:
        world = _world(plan, http)
        reporter = Reporter(world)
        phase = ["publishing"]
        watcher = asyncio.create_task(_watch(world, stop))
        reporting = asyncio.create_task(_report(world, reporter, tell, phase))
        try:
            await publish_first(world, advance)
            phase[0] = "running"
            await _run_actors(world)
        finally:
            world.stopping.set()
            await asyncio.gather(watcher, reporting)
        figures = reporter.figures("done") | {"by_viewer": world.quality.by_viewer.tolist()}
        tell(figures)
        return figures


async def _run_actors(world: World) -> None:
    if world.stopping.is_set():
        return
    async with asyncio.TaskGroup() as actors:
        actors.create_task(trickle(world))
        for number in range(world.plan.viewers):
            actors.create_task(live(world, number))
        if world.plan.seconds is not None:
            await world.pause(world.plan.seconds)
            world.stopping.set()


async def _watch(world: World, stop: threading.Event) -> None:
    """The caller's event belongs to threads; look at it, rather than block a thread on it."""
    while not await world.pause(_LOOK_EVERY_S):
        if stop.is_set():
            world.stopping.set()


async def _report(world: World, reporter: Reporter, tell: Report, phase: list[str]) -> None:
    while not await world.pause(_REPORT_EVERY_S):
        tell(reporter.figures(phase[0]))
