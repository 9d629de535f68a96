"""What the live view shows, computed from readings and from the simulator's report. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from headrace.dashboard.histograms import Scrape, buckets, by_label, quantile, total
from headrace.dashboard.scraping import Gained

JsonObject = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Spread:
    """Median and 99th percentile in seconds; None where nothing was measured."""

    p50_s: float | None = None
    p99_s: float | None = None


@dataclass(frozen=True, slots=True)
class Better:
    """Watch time of served slates over that of random ones; low and high are a 95 % interval."""

    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    served_s: float | None = None
    random_s: float | None = None
    complete_served: float | None = None
    complete_random: float | None = None


@dataclass(frozen=True, slots=True)
class Figures:
    """Everything on the screen. Rates are per second over the window, gauges are the newest."""

    events_per_s: float = 0.0
    feeds_per_s: float = 0.0
    event_to_state: Spread = Spread()
    event_to_feed: Spread = Spread()
    event_to_feed_client: Spread = Spread()
    video_to_index: Spread = Spread()
    publish_to_retrievable: Spread = Spread()
    feed: Spread = Spread()
    rungs: Mapping[str, float] = field(default_factory=dict)
    videos: int = 0
    recall: float | None = None
    lag: Mapping[str, float] = field(default_factory=dict)
    dead_letters: float = 0.0
    duplicates: float = 0.0
    down: tuple[str, ...] = ()
    phase: str | None = None
    viewers: int = 0
    catalogue: tuple[int, int] = (0, 0)
    now: Better = Better()
    overall: Better = Better()
    curve: tuple[float, ...] = ()
    replay: JsonObject = field(default_factory=dict)


def figures(readings: Gained, simulator: JsonObject, replay: JsonObject) -> Figures:
    """One screen. `simulator` and `replay` are their reports, empty when they do not run."""
    seconds = max(readings.seconds, 1e-9)
    feeds = by_label(readings.gained, "headrace_feed_seconds_count", "rung")
    return Figures(
        events_per_s=total(readings.gained, "headrace_events_total") / seconds,
        feeds_per_s=sum(feeds.values()) / seconds,
        event_to_state=_spread(readings, "headrace_event_to_state_seconds"),
        event_to_feed=_spread(readings, "headrace_event_to_feed_seconds"),
        event_to_feed_client=_client(simulator, "event_to_feed"),
        video_to_index=_spread(readings, "headrace_video_to_index_seconds"),
        publish_to_retrievable=_client(simulator, "publish_to_retrievable"),
        feed=_spread(readings, "headrace_feed_seconds"),
        rungs=_shares(feeds),
        videos=int(_highest(readings.newest, "headrace_index_videos") or 0),
        recall=_highest(readings.newest, "headrace_index_recall_ratio"),
        lag=by_label(readings.newest, "headrace_lag_messages", "topic"),
        dead_letters=total(readings.newest, "headrace_dead_letters_total"),
        duplicates=total(readings.newest, "headrace_duplicates_total"),
        down=readings.down,
        replay=replay,
        **_simulated(simulator),
    )


def _simulated(report: JsonObject) -> dict[str, Any]:
    if not report:
        return {}
    ratios = [point["ratio"] for point in report["history"]]
    return {
        "phase": report["phase"],
        "viewers": report["viewers"],
        "catalogue": (report["videos"], report["videos_wanted"]),
        "now": _better(report["quality"]["recent"]),
        "overall": _better(report["quality"]["total"]),
        "curve": tuple(ratio for ratio in ratios if ratio is not None),
    }


def _better(part: JsonObject) -> Better:
    return Better(
        part.get("ratio"),
        part.get("ratio_low"),
        part.get("ratio_high"),
        part.get("watch_s_served"),
        part.get("watch_s_random"),
        part.get("complete_served"),
        part.get("complete_random"),
    )


def _spread(readings: Gained, name: str) -> Spread:
    """Over the window; when nothing happened in it, since the processes started."""
    for scrapes in (readings.gained, readings.newest):
        histogram = buckets(scrapes, name)
        if (p50 := quantile(histogram, 0.5)) is not None:
            return Spread(p50, quantile(histogram, 0.99))
    return Spread()


def _client(report: JsonObject, kind: str) -> Spread:
    if not report:
        return Spread()
    recent = report["durations"][kind]["recent"]
    if not recent["n"]:
        return Spread()
    return Spread(recent["p50_ms"] / 1000, recent["p99_ms"] / 1000)


def _shares(counts: Mapping[str, float]) -> dict[str, float]:
    """Share of each rung, largest first; empty without any feed."""
    whole = sum(counts.values())
    ordered = sorted(counts.items(), key=lambda item: -item[1])
    return {name: count / whole for name, count in ordered if count > 0}


def _highest(scrapes: list[Scrape], name: str) -> float | None:
    """Every process exposes every gauge, those that have no index as 0; the API's is the one meant.

    None when nobody has measured it yet.
    """
    values = [value for scrape in scrapes for value in scrape.values(name).values()]
    return max(values, default=0.0) or None
