"""Reads the /metrics of every process now and then, and keeps what a window needs."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import httpx

from headrace.dashboard.histograms import Scrape, parse, since


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """All endpoints at one time. `down` are those that did not answer."""

    at_s: float
    scrapes: dict[str, Scrape]
    down: tuple[str, ...]


def read(http: httpx.Client, urls: Sequence[str], now_s: float) -> Reading:
    """Read every endpoint; one that does not answer is left out and named."""
    scrapes, down = {}, []
    for url in urls:
        try:
            scrapes[url] = parse(http.get(url).raise_for_status().text)
        except (httpx.HTTPError, ValueError):
            down.append(url)
    return Reading(now_s, scrapes, tuple(down))


@dataclass(frozen=True, slots=True, eq=False)
class Gained:
    """The newest reading, and what was gained over `seconds` before it. Lists are by endpoint."""

    seconds: float
    gained: list[Scrape]
    newest: list[Scrape]
    down: tuple[str, ...]


class Window:
    """Readings of the last `window_s` seconds, oldest first."""

    def __init__(self, window_s: float) -> None:
        self._window_s = window_s
        self._readings: deque[Reading] = deque()

    def add(self, reading: Reading) -> Gained:
        """Add a reading; what was gained since the oldest one that is kept.

        One reading older than the window is kept, so that the window is never shorter than asked.
        """
        self._readings.append(reading)
        while len(self._readings) > 2 and self._readings[1].at_s <= reading.at_s - self._window_s:
            self._readings.popleft()
        oldest = self._readings[0]
        first = len(self._readings) == 1  # counters that were there before us are no gain
        gained = [
            since(scrape, scrape if first else self._before(url))
            for url, scrape in reading.scrapes.items()
        ]
        seconds = reading.at_s - oldest.at_s
        return Gained(seconds, gained, list(reading.scrapes.values()), reading.down)

    def _before(self, url: str) -> Scrape | None:
        """The oldest kept reading of an endpoint; None if this is its first."""
        for reading in list(self._readings)[:-1]:
            if url in reading.scrapes:
                return reading.scrapes[url]
        return None
