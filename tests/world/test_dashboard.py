"""The live view: what is computed from readings, and what is drawn, also when little is known."""

import io
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import orjson
import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server
from rich.console import Console

from contracts.errors import ConfigError
from headrace import addresses, dashboard
from headrace.addresses import Addresses
from headrace.dashboard.figures import Figures, Spread, figures
from headrace.dashboard.scraping import Gained, Window, read
from headrace.dashboard.view import line, milliseconds, screen, sparkline
from headrace.simulator.meters import Meters
from headrace.simulator.quality import Quality, Slate


class Engine:
    """The metrics of an engine, served over HTTP as its processes do."""

    def __init__(self) -> None:
        registry = CollectorRegistry()
        self.events = Counter("headrace_events", "x", ["type"], registry=registry)
        self.letters = Counter("headrace_dead_letters", "x", ["topic", "reason"], registry=registry)
        self.feed = Histogram("headrace_feed_seconds", "x", ["rung"], registry=registry)
        self.fresh = Histogram("headrace_event_to_feed_seconds", "x", registry=registry)
        self.videos = Gauge("headrace_index_videos", "x", registry=registry)
        self.recall = Gauge("headrace_index_recall_ratio", "x", registry=registry)
        self.lag = Gauge("headrace_lag_messages", "x", ["topic", "partition"], registry=registry)
        self.server, self.thread = start_http_server(0, "127.0.0.1", registry)
        self.url = f"http://127.0.0.1:{self.server.server_port}/metrics"

    def work(self) -> None:
        self.events.labels("watch").inc(100)
        for _ in range(9):
            self.feed.labels("full").observe(0.02)
        self.feed.labels("no_ranker").observe(0.02)
        self.fresh.observe(0.03)
        self.videos.set(1234)
        self.recall.set(0.993)
        self.lag.labels("events", "0").set(3)
        self.lag.labels("events", "1").set(4)


@pytest.fixture
def engine() -> Iterator[Engine]:
    engine = Engine()
    yield engine
    engine.server.shutdown()
    engine.server.server_close()
    engine.thread.join()


def read_twice(engine: Engine) -> Gained:
    window = Window(30.0)
    with httpx.Client(trust_env=False) as http:
        window.add(read(http, [engine.url], 100.0))
        engine.work()
        return window.add(read(http, [engine.url], 110.0))


def simulated() -> dict[str, object]:
    quality = Quality(viewers=1, window_s=60.0, seed=1)
    quality.add(Slate(0.0, 0, (10, 50.0, 20.0, 2, 1)))
    meters = Meters(60.0)
    meters.took("event_to_feed", 0.0, 0.04)
    return {
        "phase": "running", "viewers": 1, "videos": 10, "videos_wanted": 10,
        "quality": quality.report(1.0), **meters.report(1.0),
        "history": [{"elapsed_s": 0.0, "ratio": None}, {"elapsed_s": 9.0, "ratio": 2.5}],
    }  # fmt: skip


def test_rates_are_of_the_window_and_gauges_the_newest(engine: Engine) -> None:
    shown = figures(read_twice(engine), {}, {})
    assert shown.events_per_s == pytest.approx(10.0)
    assert shown.feeds_per_s == pytest.approx(1.0)
    assert shown.rungs == pytest.approx({"full": 0.9, "no_ranker": 0.1})
    assert (shown.videos, shown.recall) == (1234, 0.993)
    assert shown.lag == {"events": 7.0}
    assert shown.feed.p50_s is not None
    assert 0.01 <= shown.feed.p50_s <= 0.025


def test_the_viewers_own_figures_stand_beside(engine: Engine) -> None:
    shown = figures(read_twice(engine), simulated(), {})
    assert shown.event_to_feed_client == Spread(0.04, 0.04)
    assert shown.now.ratio == pytest.approx(2.5)
    assert shown.curve == (2.5,)


def test_what_was_counted_before_the_view_began_is_no_rate(engine: Engine) -> None:
    engine.work()
    window = Window(30.0)
    with httpx.Client(trust_env=False) as http:
        first = figures(window.add(read(http, [engine.url], 1.0)), {}, {})
        second = figures(window.add(read(http, [engine.url], 2.0)), {}, {})
    assert first.events_per_s == second.events_per_s == 0.0
    assert first.event_to_feed.p50_s is not None  # of the time before: better than nothing


def test_a_process_that_does_not_answer_is_named_and_the_rest_is_shown(engine: Engine) -> None:
    engine.work()
    gone = "http://127.0.0.1:9/metrics"
    with httpx.Client(trust_env=False) as http:
        shown = figures(Window(30.0).add(read(http, [gone, engine.url], 1.0)), {}, {})
    assert shown.down == (gone,)
    assert shown.videos == 1234
    assert gone in line(shown)


def test_the_window_keeps_no_more_than_it_needs(engine: Engine) -> None:
    window = Window(10.0)
    with httpx.Client(trust_env=False) as http:
        for second in range(50):
            gained = window.add(read(http, [engine.url], float(second)))
    assert gained.seconds == 10.0


def drawn(shown: Figures) -> str:
    console = Console(file=io.StringIO(), width=100)
    console.print(screen(shown, "http://127.0.0.1:1", ["12:00:00 api died"]))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert isinstance(text, str)
    return text


def test_a_view_without_any_figure_can_be_drawn() -> None:
    assert "curl" in drawn(Figures())
    assert "events 0/s" in line(Figures())


def test_everything_asked_for_is_on_the_screen(engine: Engine) -> None:
    replayed = {"name": "week", "share": 0.5, "produced": 5, "refused": 1, "done": False}
    text = drawn(figures(read_twice(engine), simulated(), replayed))
    for part in (
        "10 /s", "event to feed", "publish to retrievable", "1,234 videos", "0.993", "full 90%",
        "events 7", "2.50x", "50%, 5 messages", "api died", "/docs",
        "curl 'http://127.0.0.1:1/v1/recommendations/feed?user_id=viewer_0001&limit=5'",
    ):  # fmt: skip
        assert part in text


def test_where_there_is_no_terminal_a_line_is_printed_now_and_then(
    engine: Engine, tmp_path: Path
) -> None:
    engine.work()
    addresses.write(tmp_path, Addresses("http://127.0.0.1:1", "k", "r", (engine.url,)))
    (tmp_path / "simulator.json").write_bytes(orjson.dumps(simulated()))
    (tmp_path / "replay.json").write_bytes(b"{half")
    stop, out = threading.Event(), io.StringIO()
    timer = threading.Timer(0.5, stop.set)
    timer.start()
    dashboard.run(
        tmp_path / addresses.FILE, stop, console=Console(file=out, width=80), line_every_s=0.1
    )
    lines = out.getvalue().splitlines()
    assert len(lines) >= 2
    assert all("index 1,234" in text and "2.50x" in text for text in lines)


def test_on_a_terminal_the_view_is_drawn_until_it_is_ended(engine: Engine, tmp_path: Path) -> None:
    addresses.write(tmp_path, Addresses("http://127.0.0.1:1", "k", "r", (engine.url,)))
    stop, out = threading.Event(), io.StringIO()
    timer = threading.Timer(0.3, stop.set)
    timer.start()
    console = Console(file=out, width=100, force_terminal=True)
    dashboard.run(tmp_path / addresses.FILE, stop, console=console, every_s=0.1)
    assert "Headrace" in out.getvalue()


def test_without_a_sandbox_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no sandbox is ready"):
        dashboard.run(tmp_path / addresses.FILE, threading.Event())


def test_small_helpers() -> None:
    shown = [milliseconds(s) for s in (0.0042, 0.042, 4.2, None)]
    assert shown == ["4.2 ms", "42 ms", "4.2 s", "-"]
    assert sparkline([]) == sparkline([0.0]) == ""
    assert sparkline([1.0, 2.0])[-1] == "█"
