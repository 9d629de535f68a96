"""`python -m bench.soak --minutes 20`: the whole engine under load with churn, and what grows.

Apache Kafka, Redis, the three flows and `headrace serve` run as in production. Three generators load
them from outside: events into Kafka, videos and profiles that come, change and go, feeds over HTTP.
Everything is sampled about once a second. After a warm-up, until whoever and whatever was there at
the start has gone and expired, every series is judged by a robust slope (`bench.soak.series`), and the
promises by all that was measured; then the load ends, and every event has to be accounted for. The
status is 1 if something grows or a promise is broken.

Viewers who went expire soon, and the tables of the statistics are just large enough (both are settings
of the run), so that every bound is reached while somebody looks. Redis is judged per viewer; Kafka keeps
what it is sent, and is reported.
"""

import argparse
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any, Final

import httpx
import numpy as np
from confluent_kafka import KafkaException

from bench._engine import Engine, engine, until
from bench._report import OUT, Figure, report
from bench.soak import chart, promises, publishing, table
from bench.soak.lag import FLOWS
from bench.soak.recording import PANELS
from bench.soak.sampling import LOADS, SNAPSHOTS, Sampler
from bench.soak.series import Series, Verdict, judge
from bench.soak.world import World
from headrace.dashboard.histograms import parse, total
from headrace.servers.process import Process, free_port

_DAY_S: Final = 86_400
_DRAIN_S: Final = 30.0
_LOAD_MODULES: Final = dict(zip(LOADS, ("events", "publishing", "feeds"), strict=True))
Judged = list[tuple[Series, Verdict]]


def main() -> int:
    """Run, report; 0 if nothing grows and every promise is kept, 1 if not, 130 if interrupted."""
    options = _options()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with engine(**_settings(options)) as running:  # type: ignore[arg-type]
        urls = _start(running)
        world = _world(options, running, urls["API"].removesuffix("/metrics"))
        sampler = _load(running, world, urls, options)
        interrupted, balance = False, list[Figure]()
        try:
            _watch(sampler, world)
            balance = _balance(sampler)
        except KeyboardInterrupt:
            interrupted = True
            print("\nsoak: interrupted; this is what was measured until now", file=sys.stderr)
        sampler.close()
    return _report(sampler, options, balance, interrupted)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.soak", description=__doc__.split("\n")[0]
    )
    add = parser.add_argument
    add("--minutes", type=float, default=20.0, help="of load, the warm-up among them")
    add("--rate", type=float, default=5000.0, help="events a second")
    add("--feeds", type=float, default=10.0, help="feeds a second")
    add("--videos", type=int, default=10_000, help="published at a time")
    add("--churn", type=float, default=30.0, help="videos published, changed and removed a second")
    add("--viewers", type=int, default=20_000, help="there at a time")
    add("--arrivals", type=float, default=60.0, help="viewers who come, and go, a second")
    add("--warm-up", type=float, default=None, help="seconds; until nothing of the start is kept")
    options = parser.parse_args()
    if min(options.minutes, options.rate, options.feeds, options.churn, options.arrivals) <= 0:
        parser.error("minutes, rate, feeds, churn and arrivals have to be above 0")
    if options.warm_up is not None and options.warm_up >= options.minutes * 60:
        parser.error("the warm-up has to end before the load does")
    if options.videos < 1000:
        parser.error("videos has to be at least 1000")
    if options.warm_up is None:
        options.warm_up = min(options.minutes * 60 / 2, _generation_s(options) + _ttl_s(options))
    return options


def _generation_s(options: argparse.Namespace) -> float:
    """Until everybody and everything of the start is gone, and a bit: before that, ages still grow."""
    lives = (options.videos / options.churn, options.viewers / options.arrivals)
    return float(1.2 * max(lives))


def _ttl_s(options: argparse.Namespace) -> float:
    """How long an idle viewer is kept: until the first have expired, those stored grow in number."""
    return float(max(options.minutes * 60 / 10, 60))


def _settings(options: argparse.Namespace) -> dict[str, str]:
    """Bounds that are reached early: a table that is still filling tells nothing about its bound."""
    return {
        "HEADRACE_USER__TTL_DAYS": str(_ttl_s(options) / _DAY_S),
        "HEADRACE_STATS__VIDEOS_PER_PARTITION": str(options.videos * 11 // 10),
        "HEADRACE_STATS__VIEWERS_PER_PARTITION": str(max(options.viewers // 8, 1024)),
        "HEADRACE_INDEX__RECALL_EVERY_S": "5",
        "HEADRACE_INDEX__SNAPSHOT_EVERY_S": "15",
    }


def _start(running: Engine) -> dict[str, str]:
    """The flows and the API; name -> URL of its metrics."""
    urls = {}
    for flow in FLOWS:
        port = str(free_port())
        running.flow(flow, HEADRACE_METRICS__PORT=port)
        urls[flow] = f"http://127.0.0.1:{port}/metrics"
    snapshots = str(running.folder / SNAPSHOTS)
    urls["API"] = running.serve(HEADRACE_INDEX__SNAPSHOT_DIR=snapshots) + "/metrics"
    for flow in FLOWS:
        until(lambda url=urls[flow]: _answers(url), 300, f"{flow} to serve its metrics")  # type: ignore[misc]
    return urls


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=1.0, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


def _world(options: argparse.Namespace, running: Engine, api: str) -> World:
    """Publish the first videos, wait until all are retrievable; then the load may begin."""
    world = World(
        bootstrap=running.kafka.bootstrap,
        api=api,
        began_s=time.time(),
        ends_s=time.time(),
        events=options.rate,
        feeds=options.feeds,
        videos=options.videos,
        churn=options.churn,
        viewers=options.viewers,
        arrivals=options.arrivals,
    )
    publishing.prime(world)

    def there() -> bool:
        time.sleep(0.2)
        scrape = parse(httpx.get(f"{api}/metrics", timeout=5.0, trust_env=False).text)
        return bool(total([scrape], "headrace_index_videos") >= options.videos)

    until(there, 300, f"{options.videos} videos to be retrievable", running.processes["api"])
    began_s = time.time() + 6  # the generators have to start
    return replace(world, began_s=began_s, ends_s=began_s + 60 * options.minutes)


def _load(
    running: Engine, world: World, urls: dict[str, str], options: argparse.Namespace
) -> Sampler:
    for name, module in _LOAD_MODULES.items():
        command = [sys.executable, "-m", f"bench.soak.{module}", world.to_json()]
        log = running.folder / f"load-{module}.log"
        running.processes[name] = Process(command, log)
        running.processes[name].start()
    measured_s = 60 * options.minutes - options.warm_up
    window_s = max(3.0, min(10.0, measured_s / 30))
    return Sampler(running, world, urls, window_s, options.warm_up)


def _watch(sampler: Sampler, world: World) -> None:
    """Sample until the load has ended."""
    said_s = 0.0
    while (now_s := time.time()) < world.ends_s:
        at_s = now_s - world.began_s
        if at_s >= 0:
            sampler.sample(at_s)
            if at_s - said_s >= 30:
                said_s = at_s
                left_s = world.ends_s - now_s
                print(f"soak: {at_s:.0f} s, {left_s:.0f} s to go", file=sys.stderr, flush=True)
        time.sleep(max(0.05, 1.0 - (time.time() - now_s)))


def _balance(sampler: Sampler) -> list[Figure]:
    """Wait until all has been folded, and account for it; before, freeze what the rest is about."""
    measured = dict(sampler.newest)
    time.sleep(2.0)
    behind: dict[str, int] = {}
    give_up_s = time.monotonic() + _DRAIN_S
    while time.monotonic() < give_up_s:
        try:
            behind = sampler.lag.behind()
        except KafkaException as e:  # a broker that is starved says so for a moment
            sampler.totals.failed.append(f"lag: {e!r}")
        else:
            if not any(behind.values()):
                break
        time.sleep(0.2)
    for left in range(4, -1, -1):
        time.sleep(1.0)
        try:
            sampler.drained()
            break
        except (
            TimeoutError
        ):  # somebody was slow to answer; what was measured must not be lost for it
            if not left:
                raise
    figures = promises.accounts(sampler, behind)
    sampler.newest = measured
    return figures


def _report(
    sampler: Sampler, options: argparse.Namespace, balance: list[Figure], interrupted: bool
) -> int:
    everything = sampler.recording.series()
    if interrupted and sampler.warm is None:
        print("soak: that was still the warm-up: nothing to report", file=sys.stderr)
        return 130
    judged = [(s, judge(s.since(options.warm_up))) for s in everything]
    growing = [(s, v) for s, v in judged if v.grows]
    measured = [s.since(options.warm_up) for s in everything]
    rows = [*promises.figures(sampler, measured, options.rate), *balance]
    broken = promises.broken(rows)
    head = _headline(options, growing, broken)
    table.show(judged, f"{options.minutes:g} minutes, the first {options.warm_up:g} s not judged")
    report(
        "soak", head, rows, "feed of 20, p99",
        options=vars(options),
        verdicts=[_plain(s, v) for s, v in judged],
        series=promises.plain(everything),
        samples_failed=sampler.totals.failed,
        load=sampler.totals.said,
        tolerances={panel: str(tolerance) for panel, (_, tolerance) in PANELS.items()},
    )  # fmt: skip
    chart.draw(OUT, judged, options.warm_up, head)
    for series, verdict in growing:
        print(
            f"soak: GROWS: {series.panel}, {series.name}: {verdict.per_hour:+,.4g} {series.unit} an hour"
        )
    for figure in broken:
        print(
            f"soak: BROKEN: {figure.what}: {figure.value:g} {figure.unit}, promised {figure.must:g}"
        )
    if sampler.totals.failed:
        print(
            f"soak: {len(sampler.totals.failed)} samples failed, the first: {sampler.totals.failed[0]}"
        )
    print(f"soak: {OUT}/soak.json, soak.png, soak.svg")
    return 130 if interrupted else int(bool(growing or broken))


def _headline(options: argparse.Namespace, growing: Sequence[Any], broken: Sequence[Figure]) -> str:
    load = (
        f"{options.minutes:g} minutes at {options.rate:,.0f} events/s, {options.feeds:g} feeds/s, "
        f"{options.churn:g} videos/s published, changed and removed"
    )
    grows = f"{len(growing)} series grow" if growing else "nothing grows"
    kept = f"{len(broken)} promises broken" if broken else "every promise kept"
    return f"Soak: {load}: {grows}, {kept}"


def _plain(series: Series, verdict: Verdict) -> dict[str, Any]:
    said = asdict(verdict)
    missing = {k: None for k, v in said.items() if isinstance(v, float) and np.isnan(v)}
    return {"panel": series.panel, "name": series.name, "unit": series.unit, **said, **missing}


if __name__ == "__main__":
    sys.exit(main())
