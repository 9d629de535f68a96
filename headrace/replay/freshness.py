"""How fresh the engine stayed during a replay, read from its own histograms."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import httpx

from headrace.dashboard.histograms import Scrape, buckets, quantile, since, total
from headrace.dashboard.scraping import read

_NAMES: Final = {
    "event to state": "headrace_event_to_state_seconds",
    "event to feed": "headrace_event_to_feed_seconds",
    "video to index": "headrace_video_to_index_seconds",
}
_LOOK_EVERY_S: Final = 0.5
_PATIENCE_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class Freshness:
    """Seconds over all that was observed during the replay; None where nothing was."""

    what: str
    observed: int
    p50_s: float | None
    p99_s: float | None


class Gauge:
    """The histograms as they were before the replay, to be compared with those after it."""

    def __init__(self, urls: Sequence[str]) -> None:
        self._http = httpx.Client(timeout=2.0, trust_env=False)
        self._urls = tuple(urls)
        self._before = read(self._http, self._urls, 0.0).scrapes

    def _gained(self) -> list[Scrape]:
        now = read(self._http, self._urls, 0.0).scrapes
        return [since(scrape, self._before.get(url)) for url, scrape in now.items()]

    def settle(self, events: int) -> list[Freshness]:
        """Wait, at most half a minute, until that many events were folded; then the figures."""
        give_up_s = time.monotonic() + _PATIENCE_S
        gained = self._gained()
        while _handled(gained) < events and time.monotonic() < give_up_s:
            time.sleep(_LOOK_EVERY_S)
            gained = self._gained()
        found = []
        for what, name in _NAMES.items():
            histogram = buckets(gained, name)
            observed = int(max(histogram.values(), default=0))
            p50_s, p99_s = quantile(histogram, 0.5), quantile(histogram, 0.99)
            found.append(Freshness(what, observed, p50_s, p99_s))
        return found

    def close(self) -> None:
        """Close the connections."""
        self._http.close()


def _handled(gained: Sequence[Scrape]) -> float:
    return total(gained, "headrace_events_total") + total(gained, "headrace_duplicates_total")
