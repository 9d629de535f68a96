"""An evaluation's results become files."""

import sys
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from model_runtime.evaluation.report.page import page
from model_runtime.evaluation.results import Results


def write(results: Results, folder: Path) -> Path:
    """Write `results.json` and `report.html`, signed with date and command; the report's path."""
    signed = msgspec.structs.replace(results, about=results.about | _signature())
    folder.mkdir(parents=True, exist_ok=True)
    text = msgspec.json.format(msgspec.json.encode(signed), indent=1)
    (folder / "results.json").write_bytes(text)
    report = folder / "report.html"
    report.write_text(page(signed), "utf-8")
    return report


def _signature() -> dict[str, str]:
    command = " ".join(["headrace", *sys.argv[1:]])
    return {"date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"), "command": command}
