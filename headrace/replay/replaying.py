"""Sends a recorded log to Kafka at a chosen speed."""

import threading
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

from contracts.errors import UnavailableError
from contracts.settings import Settings
from contracts.topics import EVENTS, PROFILES, VIDEOS
from headrace.replay.clock import Clock, Shift
from headrace.replay.freshness import Freshness, Gauge
from headrace.replay.order import first_event_ms, in_order, last_event_ms, open_sources
from headrace.replay.outbox import Outbox
from headrace.replay.pace import Pace
from headrace.replay.rows import Kind, Refused, Source
from headrace.replay.telling import Tell, Teller
from streams.kafka import Publisher
from streams.topics import admin, describe

_TOPICS: Final = {Kind.EVENTS: EVENTS, Kind.VIDEOS: VIDEOS, Kind.PROFILES: PROFILES}
_ANSWER_S: Final = 5.0
_AGAIN_S: Final = 0.2


@dataclass(frozen=True, slots=True)
class Summary:
    """What a replay did.

    Attributes:
        refused: rows that are no message; `examples` are the first of them.
        failed: error name -> messages that Kafka did not take.
        seconds: from the first message to the last acknowledgement.
    """

    events: int
    videos: int
    profiles: int
    refused: int
    examples: tuple[Refused, ...]
    failed: dict[str, int]
    seconds: float
    freshness: tuple[Freshness, ...] = ()

    @property
    def per_s(self) -> float:
        """Messages a second."""
        return (self.events + self.videos + self.profiles) / max(self.seconds, 1e-9)


def run(
    path: Path,
    settings: Settings,
    *,
    speed: float = 1.0,
    shift: Shift = Shift.NOW,
    limit: int | None = None,
    max_rate: float = 50_000.0,
    countries: Sequence[str] = (),
    country: str | None = None,
    metrics: Sequence[str] = (),
    tell: Tell | None = None,
    stop: threading.Event | None = None,
) -> Summary:
    """Replay a file or a folder; bad rows are counted, and the first of them kept.

    Args:
        path: JSON lines, Parquet, a folder of them, or of the KuaiRand files.
        settings: where Kafka is.
        speed: recorded seconds per second; 1 = as recorded, 0 = as fast as `max_rate` allows.
        shift: what happens to recorded times.
        limit: send at most so many messages.
        max_rate: messages per second at most.
        countries: where the KuaiRand videos may be shown; the data set does not tell.
        country: of the people in the KuaiRand files; the data set does not tell.
        metrics: /metrics addresses of the flows; freshness is read from them.
        tell: called every half second and at the end.
        stop: ends the replay early.

    Raises:
        ConfigError: there is nothing to replay at `path`.
        UnavailableError: Kafka does not answer, lacks a topic, or takes nothing.
    """
    sources = open_sources(path, countries, country)
    _check_topics(settings, sources)
    teller = Teller(path.name, sources, tell or (lambda _: None))
    with closing(Gauge(metrics)) as gauge, closing(Publisher(settings.kafka, 5.0)) as publisher:
        outbox, began_s = Outbox(publisher), time.monotonic()
        _send(sources, teller, outbox, (speed, shift, limit, max_rate), stop or threading.Event())
        outbox.flush()
        seconds = time.monotonic() - began_s
        teller.now(done=True)
        freshness = gauge.settle(outbox.produced[EVENTS.name]) if metrics else []
    return _summary(teller, outbox, seconds, freshness)


def _check_topics(settings: Settings, sources: Sequence[Source]) -> None:
    """Better now than after ten seconds of messages that nobody takes."""
    needed = {_TOPICS[source.kind].name for source in sources}
    names = [settings.kafka.topic_prefix + name for name in sorted(needed)]
    client, give_up_s = admin(settings.kafka), time.monotonic() + _ANSWER_S
    while True:
        try:
            describe(client, names, _ANSWER_S)
            return
        except UnavailableError as e:  # a topic made a moment ago is not known everywhere yet
            if time.monotonic() > give_up_s:
                raise UnavailableError(f"Kafka at {settings.kafka.bootstrap}: {e}") from None
        time.sleep(_AGAIN_S)


def _send(
    sources: Sequence[Source],
    teller: Teller,
    outbox: Outbox,
    how: tuple[float, Shift, int | None, float],
    stop: threading.Event,
) -> None:
    speed, shift, limit, max_rate = how
    first_ms = first_event_ms(sources)
    clock = _clock(sources, first_ms, speed, shift)
    pace = Pace(clock, max_rate, stop, teller.look)
    for message in islice(teller.good(in_order(sources, first_ms)), limit):
        if pace.wait(message):
            return
        outbox.send(clock.stamped(message, time.time_ns() // 1_000_000))
        teller.sent()


def _clock(sources: Sequence[Source], first_ms: int | None, speed: float, shift: Shift) -> Clock:
    start_ms = time.time_ns() // 1_000_000
    last_ms = last_event_ms(sources) if shift is Shift.END else None
    # Without events nothing waits, and the newest video may well be of this moment.
    first_ms = start_ms if first_ms is None else first_ms
    return Clock(first_ms, start_ms if last_ms is None else last_ms, start_ms, speed, shift)


def _summary(
    teller: Teller, outbox: Outbox, seconds: float, freshness: Sequence[Freshness]
) -> Summary:
    return Summary(
        outbox.produced[EVENTS.name],
        outbox.produced[VIDEOS.name],
        outbox.produced[PROFILES.name],
        teller.refused,
        tuple(teller.examples),
        dict(outbox.failed),
        seconds,
        tuple(freshness),
    )
