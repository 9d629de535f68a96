"""What is promised, held against the whole measured time: the rows of the table."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bench._report import Figure, percentiles_ms
from bench.soak.sampling import Sampler
from bench.soak.series import Series
from headrace.dashboard.histograms import Scrape, buckets, by_label, quantile, since, total


def figures(sampler: Sampler, series: Sequence[Series], wanted_per_s: float) -> list[Figure]:
    """Latency and freshness after the warm-up, and what may not have happened at all."""
    before, now = sampler.warm or {}, sampler.newest
    gained = [since(scrape, before.get(url)) for url, scrape in now.items()]
    return [
        *_rates(series, wanted_per_s),
        *_client(sampler),
        *_server(gained),
        *_incidents(sampler, list(now.values())),
    ]


def _rates(series: Sequence[Series], wanted_per_s: float) -> list[Figure]:
    found = {(s.panel, s.name): s.values for s in series}
    folded = found.get(("throughput", "events folded"), np.zeros(1))
    recall = found.get(("recall", "lowest replica"), np.zeros(1))
    rate = float(np.median(folded))
    return [
        Figure("events folded", rate, "per second", must=0.98 * wanted_per_s, more=True),
        Figure("recall@500, lowest", float(recall.min()), "", must=0.98, aim=0.99, more=True),
    ]


def _client(sampler: Sampler) -> list[Figure]:
    feed, fresh = sampler.totals.feed_ms or [np.nan], sampler.totals.fresh_ms or [np.nan]
    p50, p99 = percentiles_ms([ms / 1000 for ms in feed])
    fresh50, fresh99 = percentiles_ms([ms / 1000 for ms in fresh])
    clock = "client's clock"
    return [
        Figure("feed of 20, p50", p50, "ms", against=clock),
        Figure("feed of 20, p99", p99, "ms", against=clock, must=50, aim=20),
        Figure("event posted -> in the next feed, p50", fresh50, "ms", against=clock, must=100, aim=40),
        Figure("event posted -> in the next feed, p99", fresh99, "ms", against=clock, must=1000, aim=150),
    ]  # fmt: skip


def _server(gained: list[Scrape]) -> list[Figure]:
    bounds: dict[str, tuple[str, dict[float, tuple[float | None, float | None]]]] = {
        "event produced -> state": (
            "headrace_event_to_state_seconds", {0.5: (None, 15), 0.99: (200, 50)},
        ),
        "event produced -> next feed": (
            "headrace_event_to_feed_seconds", {0.5: (100, 40), 0.99: (1000, 150)},
        ),
        "video published -> retrievable": (
            "headrace_video_to_index_seconds", {0.5: (None, None), 0.99: (1000, 200)},
        ),
    }  # fmt: skip
    out = []
    for what, (name, quantiles) in bounds.items():
        histogram = buckets(gained, name)
        for q, (must, aim) in quantiles.items():
            value = 1000 * (quantile(histogram, q) or np.nan)
            label = f"{what}, p{q * 100:.0f}"
            out.append(Figure(label, value, "ms", against="exported histogram", must=must, aim=aim))
    return out


def _incidents(sampler: Sampler, now: list[Scrape]) -> list[Figure]:
    said = sampler.totals.said
    feeds, events = said.get("load: feeds", {}), said.get("load: events", {})
    rungs = by_label(now, "headrace_feed_seconds_count", "rung")
    below_full = {rung: n for rung, n in rungs.items() if rung != "full"}
    counts = {
        "processes that ended": len(sampler.totals.ended),
        "requests that failed": sum(feeds.get("errors", {}).values()),
        "funnel components that failed": total(now, "headrace_step_failed_total"),
        "impressions dropped": total(now, "headrace_impressions_dropped_total"),
        "messages lost to retention": total(now, "headrace_messages_lost_total"),
        "batches fenced": total(now, "headrace_fenced_total"),
        "snapshots that failed": total(now, "headrace_index_snapshots_total", outcome="failed"),
        "records that replicas could not apply": total(now, "headrace_unusable_records_total"),
        "events that Kafka refused": events.get("refused", 0),
    }
    ended = ", ".join(sorted(sampler.totals.ended))
    return [
        # The load's own: it was held up, so that this is no fault of the engine.
        Figure("events that the load had no time to send", float(events.get("skipped", 0)), ""),
        *(
            Figure(what, float(n), "", against=ended if "ended" in what else "", must=0)
            for what, n in counts.items()
        ),
        # A feed that would miss its deadline is answered from a lower rung: that is what rungs are for.
        Figure(
            "feeds from a lower rung, share",
            sum(below_full.values()) / max(sum(rungs.values()), 1),
            "",
            against=", ".join(f"{n:.0f} {rung}" for rung, n in sorted(below_full.items())),
            must=0.001,
        ),
    ]


def accounts(sampler: Sampler, behind: Mapping[str, int]) -> list[Figure]:
    """Once nothing is under way any more: every event counted, none twice, each bad one buried."""
    now, said = list(sampler.newest.values()), sampler.totals.said
    events, feeds = said["load: events"], said["load: feeds"]
    sent = events["sent"] + feeds["posted"]
    folded = total(now, "headrace_events_total")
    passed = total(now, "headrace_duplicates_total")
    buried = total(now, "headrace_dead_letters_total", topic="events")
    waiting = ", ".join(f"{flow} {n}" for flow, n in behind.items() if n)
    again = passed - events["repeated"]
    return [
        _off("messages that no flow has folded in the end", sum(behind.values()), waiting),
        _off("events lost", sent - folded - again, f"{sent:,.0f} sent"),
        _off("events counted twice", max(folded - sent, 0), f"{events['repeated']:,.0f} sent twice"),
        # Redis took them and its answer was lost: they are folded, and counted as duplicates.
        Figure("events written again after a lost answer", again, ""),
        _off("dead letters beyond those sent", buried - events["broken"], f"{events['broken']} broken"),
    ]  # fmt: skip


def _off(what: str, by: float, of: str) -> Figure:
    """Neither too many nor too few."""
    return Figure(what, abs(by), "", against=of, must=0)


def broken(figures: Sequence[Figure]) -> list[Figure]:
    """Those that miss what must be; a figure that could not be measured misses it."""
    return [f for f in figures if f.must is not None and not f.holds(f.must)]


def plain(series: Sequence[Series]) -> list[dict[str, Any]]:
    """For the JSON file."""
    return [
        {
            "panel": s.panel, "name": s.name, "unit": s.unit,
            "at_s": np.round(s.at_s, 2).tolist(), "values": np.round(s.values, 4).tolist(),
        }
        for s in series
    ]  # fmt: skip
