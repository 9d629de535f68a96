"""One picture of a run: a small chart of every panel, with its verdict, on one clock."""

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, Final

from bench._report import machine
from bench.soak.series import Series, Verdict, binned

_COLOURS: Final = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#E69F00",
    "#56B4E9",
    "#000000",
    "#999999",
    "#7B4FA3",
    "#8B5A2B",
)  # fmt: skip  (the first eight are told apart by colour-blind readers: Okabe and Ito)
_VERDICTS: Final = {"GROWS": "#B00020", "flat": "#1B7F4B", "reported": "#888888"}
_COLUMNS: Final = 4
# What is promised, as a dashed line where the axis reaches it: panel -> (height, name).
_PROMISED: Final = {
    "feed": ((20.0, "p99 aim 20"), (50.0, "p99 must 50")),
    "event to state": ((200.0, "p99 must 200"),),
    "event to feed": ((100.0, "p50 must 100"), (1000.0, "p99 must 1000")),
    "video to index": ((200.0, "p99 aim 200"), (1000.0, "p99 must 1000")),
    "recall": ((0.98, "must 0.98"),),
}
_LOG: Final = frozenset({"feed", "event to state", "event to feed", "video to index", "lag"})

Judged = tuple[Series, Verdict]


def draw(folder: Path, judged: Sequence[Judged], warm_s: float, headline: str) -> None:
    """Write soak.svg and soak.png into the folder."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    panels = [list(part) for _, part in groupby(judged, key=lambda j: j[0].panel)]
    rows = -(-len(panels) // _COLUMNS)
    style: Any = {
        "svg.hashsalt": "headrace",
        "font.size": 8,
        "axes.titlesize": 9,
        "svg.fonttype": "none",
    }
    with mpl.rc_context(style):
        figure, axes = pyplot.subplots(
            rows, _COLUMNS, figsize=(4.6 * _COLUMNS, 2.55 * rows + 0.9), squeeze=False,
            sharex=True, layout="constrained",
        )  # fmt: skip
        for ax in axes.flat[len(panels) :]:
            ax.set_axis_off()
        for ax, panel in zip(axes.flat, panels, strict=False):
            _panel(ax, panel, warm_s)
        for ax in axes[-1]:
            ax.set_xlabel("minutes under load")
        figure.suptitle(headline, fontsize=13, fontweight="bold", x=0.01, ha="left")
        figure.supxlabel(_signature(), fontsize=7.5, color="#666666", x=0.01, ha="left")
        figure.savefig(folder / "soak.svg", metadata={"Date": None})
        figure.savefig(folder / "soak.png", dpi=110)
        pyplot.close(figure)


def _signature() -> str:
    at = machine()
    return (
        f"{at['cores']} cores, {at['cpu']}, {at['date']}, {at['commit']}. Grey: warm-up, not judged. Thin: "
        "samples; thick: medians, by which growth is judged (Theil-Sen, lower end of the 95 % interval)."
    )


def _panel(ax: Any, panel: Sequence[Judged], warm_s: float) -> None:
    first = panel[0][0]
    for colour, (series, verdict) in zip(_COLOURS, panel, strict=False):
        _line(ax, series, verdict, colour, warm_s)
    top = max(float(s.values.max()) for s, _ in panel)
    _scale(ax, first, panel, top)
    for height, name in _PROMISED.get(first.panel, ()):
        ax.axhline(height, linestyle="--", linewidth=0.9, color="#B00020", alpha=0.6)
        ax.annotate(
            name, (1, height), xycoords=("axes fraction", "data"), fontsize=6.5, color="#B00020",
            ha="right", va="bottom",
        )  # fmt: skip
    ax.axvspan(0, warm_s / 60, color="#EEEEEE", zorder=0)
    ax.set_title(first.panel, loc="left", fontweight="bold")
    word = _word([v for _, v in panel])
    ax.set_title(word, loc="right", color=_VERDICTS.get(word, "#888888"), fontweight="bold")
    ax.set_ylabel(first.unit)
    ax.set_xlim(left=0)
    ax.grid(color="#E5E5E5", linewidth=0.6)
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False, fontsize=6.8, ncols=2 if len(panel) > 3 else 1, loc="best")


def _line(ax: Any, series: Series, verdict: Verdict, colour: str, warm_s: float) -> None:
    ax.plot(series.at_s / 60, series.values, color=colour, linewidth=0.7, alpha=0.35)
    measured = series.since(warm_s)
    if len(measured.values) > 1:
        at_s, medians = binned(measured.at_s, measured.values)
        grows = " GROWS" if verdict.grows else ""
        label = f"{series.name}: {_short(verdict.first)} → {_short(verdict.last)}{grows}"
        width = 2.6 if verdict.grows else 1.5
        ax.plot(at_s / 60, medians, color=colour, linewidth=width, label=label)


def _scale(ax: Any, first: Series, panel: Sequence[Judged], top: float) -> None:
    if first.panel == "recall":
        low = min(float(s.values.min()) for s, _ in panel)
        ax.set_ylim(min(low, 0.98) - 0.004, 1.0005)
    elif first.panel in _LOG:
        ax.set_yscale("log")
        ax.yaxis.set_major_formatter(lambda value, _: f"{value:,g}")
        ax.minorticks_off()
    else:
        ax.set_ylim(0, 1.35 * top or 1.0)  # room for the legend
        ax.yaxis.set_major_formatter(lambda value, _: f"{value:,.10g}")


def _word(verdicts: Sequence[Verdict]) -> str:
    words = [v.word for v in verdicts]
    for word in ("GROWS", "flat", "too short", "reported"):
        if word in words:
            return word
    return ""


def _short(value: float) -> str:
    """1,234 or 12.3 or 0.995."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
