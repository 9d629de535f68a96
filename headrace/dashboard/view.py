"""Draws the figures: a panel for a terminal, a line for a log."""

from collections.abc import Sequence
from typing import Final

from rich import box
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from headrace.dashboard.figures import Better, Figures, Spread

_BARS: Final = "▁▂▃▄▅▆▇█"
_CURVE: Final = 48
_NONE: Final = "-"


def milliseconds(seconds: float | None) -> str:
    """Three digits are enough to look at.

    >>> milliseconds(0.0042), milliseconds(0.42), milliseconds(4.2), milliseconds(None)
    ('4.2 ms', '420 ms', '4.2 s', '-')
    """
    if seconds is None:
        return _NONE
    if seconds >= 1:
        return f"{seconds:.1f} s"
    return f"{seconds * 1000:.1f} ms" if seconds < 0.01 else f"{seconds * 1000:.0f} ms"


def sparkline(values: Sequence[float]) -> str:
    """The last values as bars from 0 to the highest.

    >>> sparkline([0.0, 1.0, 2.0])
    '▁▄█'
    """
    shown = list(values)[-_CURVE:]
    top = max(shown, default=0.0)
    if top <= 0:
        return ""
    return "".join(_BARS[min(int(value / top * 7 + 0.5), 7)] for value in shown)


def _pair(spread: Spread) -> str:
    if spread.p50_s is None:
        return _NONE
    return f"{milliseconds(spread.p50_s)} / {milliseconds(spread.p99_s)}"


def _times(better: Better) -> str:
    if better.ratio is None:
        return _NONE
    if better.low is None or better.high is None:
        return f"{better.ratio:.2f}x"
    return f"{better.ratio:.2f}x ({better.low:.2f}-{better.high:.2f})"


def _rungs(figures: Figures) -> str:
    return ", ".join(f"{name} {share:.0%}" for name, share in figures.rungs.items()) or _NONE


def _lag(figures: Figures) -> str:
    return ", ".join(f"{topic} {lag:.0f}" for topic, lag in sorted(figures.lag.items())) or _NONE


def _recall(figures: Figures) -> str:
    return _NONE if figures.recall is None else f"{figures.recall:.3f}"


def line(figures: Figures) -> str:
    """All that matters in one line, for a log."""
    parts = [
        f"events {figures.events_per_s:.0f}/s",
        f"event-to-feed {_pair(figures.event_to_feed)}",
        f"publish-to-retrievable {_pair(figures.publish_to_retrievable)}",
        f"feed {figures.feeds_per_s:.1f}/s {_pair(figures.feed)}",
        f"index {figures.videos:,} recall {_recall(figures)}",
        f"rung {_rungs(figures)}",
        f"lag {sum(figures.lag.values()):.0f}",
        f"dead letters {figures.dead_letters:.0f}",
        f"watch time {_times(figures.now)} of random",
    ]
    if figures.replay:
        parts.append(f"replay {_replay(figures)}")
    if figures.down:
        parts.append(f"no answer from {', '.join(figures.down)}")
    return " | ".join(parts)


def _replay(figures: Figures) -> str:
    replay = figures.replay
    state = "done" if replay["done"] else f"{replay['share']:.0%}"
    return f"{state}, {replay['produced']:,} messages, {replay['refused']:,} refused"


def _grid() -> Table:
    grid = Table(box=None, show_header=False, padding=(0, 1), expand=True)
    grid.add_column(style="dim", width=24, no_wrap=True)
    grid.add_column(ratio=1)
    return grid


def _freshness(figures: Figures) -> Table:
    table = Table(box=box.SIMPLE, padding=(0, 1), expand=True)
    table.add_column("p50 / p99", style="dim", width=24, no_wrap=True)
    table.add_column("measured by the engine", ratio=1)
    table.add_column("measured by the viewers", ratio=1)
    table.add_row("event to state", _pair(figures.event_to_state), "")
    table.add_row(
        Text("event to feed", style="bold"),
        Text(_pair(figures.event_to_feed), style="bold green"),
        _pair(figures.event_to_feed_client),
    )
    table.add_row(
        Text("publish to retrievable", style="bold"),
        Text(_pair(figures.video_to_index), style="bold green"),
        _pair(figures.publish_to_retrievable),
    )
    table.add_row("feed", Text(_pair(figures.feed), style="bold green"), "")
    return table


def _flow(figures: Figures) -> Table:
    grid = _grid()
    grid.add_row("events", f"{figures.events_per_s:,.0f} /s, duplicates {figures.duplicates:,.0f}")
    grid.add_row("feeds", f"{figures.feeds_per_s:,.1f} /s")
    full = not figures.rungs or set(figures.rungs) == {"full"}
    grid.add_row("rung that answers", Text(_rungs(figures), style="green" if full else "yellow"))
    grid.add_row("index", f"{figures.videos:,} videos, live recall {_recall(figures)}")
    grid.add_row("lag (messages)", _lag(figures))
    letters = Text(f"{figures.dead_letters:,.0f}", style="red" if figures.dead_letters else "")
    grid.add_row("dead letters", letters)
    if figures.down:
        grid.add_row("no answer from", Text(", ".join(figures.down), style="red"))
    if figures.replay:
        grid.add_row(f"replay of {figures.replay['name']}", _replay(figures))
    return grid


def _audience(figures: Figures) -> Table:
    grid = _grid()
    have, wanted = figures.catalogue
    if figures.phase == "publishing":
        grid.add_row("viewers", f"wait for the catalogue: {have:,} of {wanted:,} videos")
        return grid
    now = figures.now
    grid.add_row("viewers", f"{figures.viewers:,}, each with a taste the engine is not told")
    best = Text(_times(now), style="bold green")
    grid.add_row("watch time, now", best.append(" of what a random feed would get", "default"))
    grid.add_row("watch time, overall", _times(figures.overall))
    if now.served_s is not None and now.random_s is not None:
        text = f"{now.served_s:.1f} s a video, at random {now.random_s:.1f} s"
        grid.add_row("", f"{text}; completed {now.complete_served:.0%}, {now.complete_random:.0%}")
    grid.add_row("since the start", Text(sparkline(figures.curve), style="green"))
    return grid


def _hints(api: str) -> Text:
    """Outside the frame, so that a selected line is nothing but what is to be pasted."""
    feed = f"{api}/v1/recommendations/feed?user_id=viewer_0001&limit=5"
    return Text.assemble(
        (" API       ", "dim"), f"{api}/docs\n",
        (" metrics   ", "dim"), f"{api}/metrics\n",
        (" to paste\n", "dim"), (f"curl '{feed}'", "cyan"),
        overflow="fold",
    )  # fmt: skip


def screen(figures: Figures, api: str, notes: Sequence[str] = ()) -> RenderableType:
    """The live view; `notes` are sentences to show below the figures."""
    parts: list[RenderableType] = [_flow(figures), _freshness(figures)]
    if figures.phase is not None:
        parts.append(_audience(figures))
    if notes:
        parts += [Text(), Text("\n".join(notes), style="yellow")]
    frame = Panel(Group(*parts), title="[bold]Headrace[/]", subtitle="Ctrl-C ends it", width=100)
    return Group(frame, _hints(api))
