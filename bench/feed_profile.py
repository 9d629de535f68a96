"""Where the processor time of one feed goes, and what a compiled inner loop could save.

The serving process without its servers (`bench._rig`): nothing else runs in it, and only processor
time of its one thread is counted, so that a busy machine matters little. Three looks:

- layers, by clocks around them: the ASGI call, in it the engine, in it the steps of the funnel;
- kinds, by cProfile, as shares of the profiled time: the index, calls into numpy, and the rest, which is
  the interpreter and the framework. Two errors pull against each other: the profiler makes calls
  dearer, and does not see operators between arrays, which it counts as the interpreter;
- what hydrating, filtering, scoring and re-ranking cost at 32 and at 512 candidates: the part that
  does not grow with the candidates is calls and bookkeeping, and that is what a compiled loop over
  rows could save at most.
"""

import argparse
import asyncio
import cProfile
import gc
import pstats
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np

from api.app import create_app
from api.dependencies import Dependencies
from api.engine import Engine
from api.funnel.gather import hydrate
from api.funnel.trace import Trace
from api.viewer import Request
from bench._catalog import big_catalog
from bench._load import COUNTRIES
from bench._report import Figure, report
from bench._rig import rig
from contracts.batch import CandidateBatch

_clock = time.thread_time
Costs = dict[str, list[float]]


def request(n: int, viewers: int) -> Request:
    """The n-th feed."""
    return Request(user_id=f"u_{n % viewers}", country=COUNTRIES[n % 4], language="en")


async def layers(deps: Dependencies, feeds: int, viewers: int) -> Costs:
    """Seconds by layer, one of each a feed."""
    engine, app, costs = Engine(deps), create_app(deps), defaultdict[str, list[float]](list)
    page: Any = None
    for n in range(feeds):
        trace, began = Trace(clock_s=_clock), _clock()
        served = await engine.serve("feed", request(n, viewers), trace)
        answered = _clock()
        page = served.page
        await engine.after_response("feed", served)
        costs["engine"].append(answered - began)
        costs["after the response"].append(_clock() - answered)
        for stage, _, seconds in trace.timings:
            costs[stage].append(seconds)
        for stage, step, seconds in trace.timings:
            costs[f"{stage}.{step}"].append(seconds)
        began = _clock()
        msgspec.json.encode(page)
        costs["JSON"].append(_clock() - began)
        await call(app, n, viewers, costs["HTTP, all"])
    return costs


async def call(app: Any, n: int, viewers: int, costs: list[float]) -> None:
    """One feed through the framework, effects included."""
    asked = request(n, viewers)
    query = f"user_id={asked.user_id}&limit=20&language=en&country={asked.country}"
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET",
        "path": "/v1/recommendations/feed", "raw_path": b"/v1/recommendations/feed", "root_path": "",
        "scheme": "http", "headers": [(b"host", b"bench"), (b"accept", b"*/*")], "state": {},
        "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80), "query_string": query.encode(),
    }  # fmt: skip

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        pass

    began = _clock()
    await app(scope, receive, send)
    costs.append(_clock() - began)


async def kinds(deps: Dependencies, feeds: int, viewers: int) -> dict[str, float]:
    """Shares of the index and of numpy, as cProfile sees them, and calls a feed."""
    app = create_app(deps)
    profile = cProfile.Profile(timer=_clock)
    profile.enable()
    for n in range(feeds):
        await call(app, n, viewers, [])
    profile.disable()
    out = {"index": 0.0, "numpy": 0.0, "calls": 0.0}
    stats: Any = pstats.Stats(profile)
    whole_s = stats.total_tt
    for (file, _, name), (_, calls, own_s, _, _) in stats.stats.items():
        out["calls"] += calls / feeds
        if "knn_query" in name or file.endswith("index_updater/codes.py"):
            out["index"] += own_s / whole_s
        elif "numpy" in name or "/numpy/" in file:
            out["numpy"] += own_s / whole_s
    return out


async def by_rows(deps: Dependencies, feeds: int, viewers: int, rows: int) -> float:
    """Median seconds of all that comes after the merge, for so many candidates."""
    engine, costs = Engine(deps), []
    funnel = engine.ladders["feed"].first
    for n in range(feeds):
        asked = request(n, viewers)
        query = engine.query(asked, await engine.look_up(asked), np.empty(0, np.uint32))
        found = await funnel.candidates(query, Trace())
        part = CandidateBatch(found.ids[:rows], found.sources[:rows], {})
        began = _clock()
        batch = await hydrate(funnel.spec.hydrators, query, part, Trace(), funnel.deadline_s)
        funnel.rank(query, batch, Trace())
        costs.append(_clock() - began)
    return float(np.median(costs))


def patient(deps: Dependencies) -> Dependencies:
    """Without deadlines: on a busy machine they would end a feed that is to be taken apart."""
    feed = deps.settings.feed.model_copy(
        update={"deadline_ms": 60_000.0, "source_deadline_ms": 60_000.0}
    )
    return replace(deps, settings=deps.settings.model_copy(update={"feed": feed}))


async def measure(deps: Dependencies, feeds: int, viewers: int) -> list[Figure]:
    """The table's figures, in milliseconds of processor a feed."""
    await layers(deps, feeds // 4, viewers)
    costs = await layers(deps, feeds, viewers)
    at = {name: sum(seconds) / feeds * 1000 for name, seconds in costs.items()}
    found = await kinds(deps, feeds, viewers)
    few, many = [await by_rows(deps, feeds, viewers, n) * 1000 for n in (32, 512)]
    whole = at["HTTP, all"]
    fixed = few - (many - few) * 32 / (512 - 32)
    steps = sum(at[stage] for stage in ("source", "hydrate", "filter", "score", "rerank"))
    index, numpy = found["index"] * whole, found["numpy"] * whole
    out = [Figure("a feed over ASGI", whole, "ms")]
    parts = {
        "layer: framework (routing, parameters, response)": whole
        - at["engine"] - at["after the response"] - at["JSON"],
        "layer: JSON of the page": at["JSON"],
        "layer: after the response (metrics, impression)": at["after the response"],
        "layer: engine, outside the funnel's steps": at["engine"] - steps,
        **{f"layer: {stage}": at[stage] for stage in ("source", "hydrate", "filter", "score", "rerank")},
        "kind: the index": index,
        "kind: calls into numpy": numpy,
        "kind: the interpreter, framework and operators": whole - index - numpy,
        "after the merge, 512 candidates": many,
        "the same, what does not grow with candidates": fixed,
    }  # fmt: skip
    out += [Figure(name, ms, "ms", whole, "of the whole") for name, ms in parts.items()]
    out.append(Figure("calls that the profiler counts", found["calls"], ""))
    steps_ms = sorted(((ms, n) for n, ms in at.items() if "." in n), reverse=True)[:12]
    out += [Figure(f"step: {name}", ms, "ms", whole, "of the whole") for ms, name in steps_ms]
    return out


def main(arguments: Sequence[str] = ()) -> None:
    """Take feeds apart, print the table, write bench/out/feed_profile.json."""
    parser = argparse.ArgumentParser(prog="bench.feed_profile", description=__doc__)
    parser.add_argument("--videos", type=int, default=1_000_000, help="made once, then cached")
    parser.add_argument("--viewers", type=int, default=400)
    parser.add_argument("--feeds", type=int, default=400)
    said = parser.parse_args(arguments)
    deps = patient(rig(big_catalog(said.videos), said.viewers))
    gc.collect()
    gc.freeze()  # as the serving process does
    figures = asyncio.run(measure(deps, said.feeds, said.viewers))
    figures.append(Figure("effort of the graph (ef)", deps.index.effort, ""))
    title = f"processor time of a feed of 20, {said.videos:,} videos, one thread"
    report("feed_profile", title, figures, "a feed over ASGI")


if __name__ == "__main__":
    main(sys.argv[1:])
