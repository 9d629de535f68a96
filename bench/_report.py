"""What every benchmark ends with: a table for people, a JSON file, and one line of JSON."""

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from rich.console import Console
from rich.table import Table

OUT: Final = Path(__file__).parent / "out"


@dataclass(frozen=True, slots=True)
class Figure:
    """One row of the table.

    Attributes:
        baseline: what `value` is held against, measured in the same run; `against` names it.
        must: the bound that is promised; `aim` the one that is hoped for.
        more: whether more is better; else less is.
    """

    what: str
    value: float
    unit: str
    baseline: float | None = None
    against: str = ""
    must: float | None = None
    aim: float | None = None
    more: bool = False

    @property
    def ratio(self) -> float | None:
        """`value` over `baseline`."""
        return self.value / self.baseline if self.baseline else None

    def holds(self, bound: float) -> bool:
        """Whether the value is on the right side of a bound."""
        return self.value >= bound if self.more else self.value <= bound

    @property
    def verdict(self) -> str:
        """What is promised and whether it is kept: "aim 50 met", "MISSES 200", ""."""
        if self.aim is not None and self.holds(self.aim):
            return f"aim {self.aim:g} met"
        if self.must is None:
            return "" if self.aim is None else f"aim {self.aim:g} not met"
        return f"{self.must:g} met" if self.holds(self.must) else f"MISSES {self.must:g}"


def percentiles_ms(seconds: Sequence[float]) -> tuple[float, float]:
    """(p50, p99) in milliseconds."""
    p50, p99 = np.percentile(np.asarray(seconds) * 1000, [50, 99])
    return float(p50), float(p99)


def machine() -> dict[str, Any]:
    """Where and when a figure was measured."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False
    ).stdout.strip()
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "commit": commit,
        "load": [round(load, 1) for load in os.getloadavg()],
        "command": " ".join(["python -m", *_module(), *sys.argv[1:]]),
    }


def _module() -> list[str]:
    spec = sys.modules["__main__"].__spec__
    return [spec.name.removesuffix(".__main__")] if spec is not None else [sys.argv[0]]


def progress(text: str) -> None:
    """A line that the next one overwrites; nothing where nobody watches."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


def report(name: str, title: str, figures: Sequence[Figure], headline: str, **more: Any) -> None:
    """Print the table, write `bench/out/NAME.json`, end with one line of JSON.

    Args:
        headline: `what` of the figure that the last line is about.
        more: whatever else belongs in the file, for charts.
    """
    table = Table("what", "value", "unit", "baseline", "ratio", "against", "promise", title=title)
    for f in figures:
        baseline = "" if f.baseline is None else _number(f.baseline)
        ratio = "" if f.ratio is None else f"{f.ratio:.2f}"
        table.add_row(f.what, _number(f.value), f.unit, baseline, ratio, f.against, f.verdict)
    progress("")
    Console(width=150).print(table)
    rows = [
        {
            "name": f.what,
            "value": f.value,
            "unit": f.unit,
            "baseline": f.baseline,
            "against": f.against,
            "ratio": f.ratio,
            "must": f.must,
            "aim": f.aim,
        }
        for f in figures
    ]
    OUT.mkdir(exist_ok=True)
    content = {"machine": machine(), "figures": rows, **more}
    (OUT / f"{name}.json").write_text(json.dumps(content, indent=1))
    head = next(f for f in figures if f.what == headline)
    line = {"name": f"{name}: {head.what}", "value": head.value, "unit": head.unit}
    print(json.dumps({**line, "baseline": head.baseline, "ratio": head.ratio}), flush=True)


def _number(value: float) -> str:
    """Three or four digits that say something: 12,345 and 0.01235."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
