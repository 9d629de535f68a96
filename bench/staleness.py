"""The staleness picture: how much of a bundle's quality is left when a person's state is late.

Reads the `results.json` of evaluations (`headrace evaluate LOG --bundle ID --out FOLDER`) and draws a
line for each: NDCG@10 as a share of that without delay, of the people who had a state at every delay,
with the 95 % interval of the difference over people. A hollow mark is a delay that changes fewer than 1 %
of the states: that log's clock cannot show it. The picture is readable on light and on dark pages.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from bench._report import Figure, report
from contracts.errors import ConfigError
from model_runtime.evaluation.report.svg import Mark, lines
from model_runtime.evaluation.results import Results, Staleness

_STYLE: Final = """<style>
svg { --paper: #ffffff; font: 13px system-ui, sans-serif; fill: #1f2328 }
.axis { fill: #59636e } .grid { stroke: #d1d9e0; stroke-width: 1 }
@media (prefers-color-scheme: dark) {
  svg { --paper: #0d1117; fill: #f0f6fc } .axis { fill: #9198a1 } .grid { stroke: #3d444d }
}
</style>"""


def curve_of(path: Path) -> tuple[str, Staleness]:
    """The name of the log, and the curve of its trained bundle.

    Raises:
        ConfigError: no such file, or nothing in it was measured with a late state.
    """
    try:
        found = msgspec.json.decode(path.read_bytes(), type=Results)
    except (OSError, msgspec.DecodeError) as e:
        raise ConfigError(f"{path} holds no results of `headrace evaluate`: {e}") from None
    curves = [c for c in found.staleness if c.met and c.name.startswith("bundle ")]
    if not curves:
        raise ConfigError(f"{path} has no curve of a bundle: evaluate with --late")
    return found.about["log"], curves[-1]


def kept(curve: Staleness) -> list[Mark]:
    """Share of the quality that is left at each delay, with its interval."""
    whole = curve.met[0].ndcg.mean
    return [
        Mark(
            point.label,
            1 + lost.mean / whole, 1 + lost.low / whole, 1 + lost.high / whole,
            faint=bool(point.note),
        )
        for point, lost in zip(curve.met, curve.lost, strict=True)
    ]  # fmt: skip


def picture(series: dict[str, Sequence[Mark]]) -> str:
    """A whole SVG file."""
    drawn = lines(series, "the state is late by")
    head = '<svg xmlns="http://www.w3.org/2000/svg" '
    return drawn.replace("<svg ", head, 1).replace(">\n", f">\n{_STYLE}\n", 1) + "\n"


def main(arguments: Sequence[str] = ()) -> None:
    """Draw the picture, and print what it shows."""
    parser = argparse.ArgumentParser(prog="bench.staleness", description=__doc__)
    parser.add_argument("results", nargs="+", help="NAME=results.json, or results.json")
    parser.add_argument("--out", type=Path, default=Path("docs/staleness.svg"))
    said = parser.parse_args(arguments)
    series, figures = dict[str, Sequence[Mark]](), list[Figure]()
    for told in said.results:
        name, _, path = told.rpartition("=")
        log, curve = curve_of(Path(path))
        series[name or log] = kept(curve)
        for mark, lost in zip(kept(curve), curve.lost, strict=True):
            what = f"{name or log}, late by {mark.label}: NDCG@10 kept"
            figures.append(
                Figure(what, mark.mean, f"{lost.low:+.4f} to {lost.high:+.4f}", more=True)
            )
    said.out.write_text(picture(series), "utf-8")
    report("staleness", f"what a late state leaves: {said.out}", figures, figures[-1].what)


if __name__ == "__main__":
    main(sys.argv[1:])
