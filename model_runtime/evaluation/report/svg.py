"""Two kinds of chart as SVG text: bars and lines, both with intervals."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

import numpy as np

# Told apart by colour-blind readers too (Okabe and Ito).
COLOURS: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#777777")
_WIDTH: Final = 760


@dataclass(frozen=True, slots=True)
class Mark:
    """A value with its interval; `faint` ones are drawn but not claimed."""

    label: str
    mean: float
    low: float
    high: float
    strong: bool = False
    faint: bool = False


def bars(marks: Sequence[Mark], digits: int = 3) -> str:
    """Horizontal bars, one below the other; the strong ones in colour."""
    left, row, right = 190, 26, 120
    ticks = nice_ticks(max((m.high for m in marks if np.isfinite(m.high)), default=1.0))
    scale, height = (_WIDTH - left - right) / ticks[-1], row * len(marks) + 34
    out = [_grid_x(ticks, left, scale, height - 22)]
    for i, m in enumerate(marks):
        y, end = 6 + i * row, left + m.mean * scale
        colour = COLOURS[1] if m.strong else COLOURS[0]
        out += [
            f'<text x="{left - 8}" y="{y + 15}" text-anchor="end" '
            f'class="{"strong" if m.strong else ""}">{_text(m.label)}</text>',
            f'<rect x="{left}" y="{y + 3}" width="{max(end - left, 0.5):.1f}" height="{row - 9}" '
            f'fill="{colour}" opacity="{0.35 if m.faint else 0.85}" rx="2"/>',
            _whisker(left + m.low * scale, left + m.high * scale, y + row / 2 - 1.5),
            f'<text x="{left + m.high * scale + 7:.1f}" y="{y + 15}" class="value">'
            f"{m.mean:.{digits}f}</text>",
        ]
    return _svg(_WIDTH, height, out)


def lines(series: Mapping[str, Sequence[Mark]], x: str) -> str:
    """One line a series over the marks' labels, with the interval as a band."""
    labels = list(dict.fromkeys(m.label for marks in series.values() for m in marks))
    left, top, right, bottom, height = 62, 14, 190, 46, 320
    highest = max((m.high for marks in series.values() for m in marks), default=1.0)
    ticks = nice_ticks(highest)
    step = (_WIDTH - left - right) / max(len(labels) - 1, 1)
    places = {label: left + i * step for i, label in enumerate(labels)}
    unit = (height - top - bottom) / ticks[-1]

    def at(value: float) -> float:
        return height - bottom - value * unit

    out = [_grid_y(ticks, left, _WIDTH - right, at)]
    out += [
        f'<text x="{px:.1f}" y="{height - bottom + 18}" text-anchor="middle">{_text(label)}</text>'
        for label, px in places.items()
    ]
    middle = (left + _WIDTH - right) / 2
    out.append(
        f'<text x="{middle:.1f}" y="{height - 6}" text-anchor="middle" class="axis">{_text(x)}</text>'
    )
    for i, (name, marks) in enumerate(series.items()):
        colour = COLOURS[i % len(COLOURS)]
        out += [_series(marks, places, at, colour), _key(name, colour, top + 14 + 20 * i, right)]
    return _svg(_WIDTH, height, out)


def _series(
    marks: Sequence[Mark], places: Mapping[str, float], at: Callable[[float], float], colour: str
) -> str:
    band = [(places[m.label], at(m.high)) for m in marks]
    band += [(places[m.label], at(m.low)) for m in reversed(marks)]
    path = [(places[m.label], at(m.mean)) for m in marks]
    dots = [
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" stroke="{colour}" stroke-width="2" '
        f'fill="{"var(--paper)" if m.faint else colour}"/>'
        for m, (x, y) in zip(marks, path, strict=True)
    ]
    return (
        f'<polygon points="{_points(band)}" fill="{colour}" opacity="0.1"/>'
        f'<polyline points="{_points(path)}" fill="none" stroke="{colour}" stroke-width="2"/>'
        + "".join(dots)
    )


def _key(name: str, colour: str, y: float, right: float) -> str:
    x = _WIDTH - right
    return (
        f'<rect x="{x + 22}" y="{y - 9}" width="12" height="12" rx="2" fill="{colour}"/>'
        f'<text x="{x + 40}" y="{y + 1}">{_text(name)}</text>'
    )


def nice_ticks(highest: float, about: int = 5) -> list[float]:
    """Round values from 0 to at least `highest`: 0.237 -> [0, 0.05, 0.1, 0.15, 0.2, 0.25]."""
    if not highest > 1e-9 or not np.isfinite(highest):
        return [0.0, 1.0]
    rough = highest / about
    power = 10.0 ** np.floor(np.log10(rough))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= rough * 0.999)
    n = int(np.ceil(highest / step - 1e-9))
    return [round(i * step, 12) for i in range(n + 1)]


def _svg(width: float, height: float, parts: Sequence[str]) -> str:
    inside = "\n".join(parts)
    return f'<svg viewBox="0 0 {width} {height}" role="img">\n{inside}\n</svg>'


def _text(label: str) -> str:
    """Safe inside XML, which has no way to say a control character."""
    return escape("".join(c for c in label if c.isprintable()))


def _points(pairs: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in pairs)


def _whisker(low: float, high: float, y: float) -> str:
    return (
        f'<path d="M{low:.1f} {y - 4:.1f}v8M{high:.1f} {y - 4:.1f}v8M{low:.1f} {y:.1f}H{high:.1f}" '
        'class="whisker"/>'
    )


def _grid_x(ticks: Sequence[float], left: float, scale: float, bottom: float) -> str:
    return "".join(
        f'<path d="M{left + t * scale:.1f} 4V{bottom:.1f}" class="grid"/>'
        f'<text x="{left + t * scale:.1f}" y="{bottom + 15:.1f}" text-anchor="middle" class="axis">'
        f"{t:g}</text>"
        for t in ticks
    )


def _grid_y(ticks: Sequence[float], left: float, right: float, at: Callable[[float], float]) -> str:
    return "".join(
        f'<path d="M{left} {at(t):.1f}H{right}" class="grid"/>'
        f'<text x="{left - 8}" y="{at(t) + 4:.1f}" text-anchor="end" class="axis">{t:g}</text>'
        for t in ticks
    )
