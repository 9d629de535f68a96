"""Charts of measurements: panels of lines, as SVG for a page and as PNG for a look."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from bench._report import OUT, machine, progress

# Told apart by colour-blind readers too (Okabe and Ito), and in the order in which they are given.
_COLOURS: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_MARKED: Final = 30  # more points than that are a line without marks


@dataclass(frozen=True, slots=True)
class Panel:
    """One pair of axes.

    Attributes:
        x, y: labels of the axes, with units.
        lines: name -> its (x, y) points.
        bounds: name -> height of a dashed line: what is promised, or hoped for.
        log: "", "x", "y" or "xy": which axes are logarithmic.
        ticks: the x values to mark; else matplotlib finds some.
    """

    title: str
    x: str
    y: str
    lines: Mapping[str, Sequence[tuple[float, float]]]
    bounds: Mapping[str, float] = field(default_factory=dict)
    log: str = ""
    ticks: Sequence[float] = ()


def draw(name: str, title: str, panels: Sequence[Panel], columns: int = 2) -> None:
    """Write `bench/out/NAME.svg` and `.png`, signed with machine, date and commit."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    columns = min(columns, len(panels))
    rows = -(-len(panels) // columns)
    with mpl.rc_context({"svg.hashsalt": "headrace", "font.size": 9}):
        size = (5.2 * columns, 3.4 * rows + 0.6)
        figure, axes = pyplot.subplots(
            rows, columns, figsize=size, squeeze=False, layout="constrained"
        )
        for ax in axes.flat[len(panels) :]:
            ax.set_axis_off()
        for ax, panel in zip(axes.flat, panels, strict=False):
            _panel(ax, panel)
        figure.suptitle(title, fontsize=11, fontweight="bold")
        figure.supxlabel(_signature(), fontsize=7, color="#666666")
        OUT.mkdir(exist_ok=True)
        figure.savefig(OUT / f"{name}.svg", metadata={"Date": None})
        figure.savefig(OUT / f"{name}.png", dpi=150)
        pyplot.close(figure)
    progress("")


def _signature() -> str:
    at = machine()
    return f"{at['cores']} cores, {at['cpu']}, {at['date']}, {at['commit']}: {at['command']}"


def _panel(ax: Any, panel: Panel) -> None:
    for colour, (name, points) in zip(_COLOURS, panel.lines.items(), strict=False):
        xs, ys = [x for x, _ in points], [y for _, y in points]
        mark = "o" if len(points) <= _MARKED else ""
        ax.plot(xs, ys, marker=mark, markersize=4, linewidth=1.4, color=colour, label=name)
    for style, (name, height) in zip(("--", ":", "-."), panel.bounds.items(), strict=False):
        ax.axhline(height, linestyle=style, linewidth=1, color="#777777", label=name)
    ax.set(title=panel.title, xlabel=panel.x, ylabel=panel.y)
    ax.set_xscale("log" if "x" in panel.log else "linear")
    ax.set_yscale("log" if "y" in panel.log else "linear")
    if "y" not in panel.log:
        ax.set_ylim(bottom=0)
    if panel.ticks:
        ax.set_xticks(panel.ticks, [f"{tick:,g}" for tick in panel.ticks], minor=False)
        ax.minorticks_off()
    ax.yaxis.set_major_formatter(lambda value, _: f"{value:,g}")
    ax.grid(color="#dddddd", linewidth=0.6)
    ax.spines[["top", "right"]].set_visible(False)
    if len(panel.lines) + len(panel.bounds) > 1:
        ax.legend(frameon=False, fontsize=8)
