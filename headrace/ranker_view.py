"""The table of a ranker's heads that `headrace train` ends with."""

from typing import Any

from rich.table import Table


def heads_table(heads: dict[str, Any]) -> Table:
    """Each head on the test, beside LightGBM's where that was trained."""
    table = Table(title="the ranker on the test, the last of what was shown")
    for title in ("head", "positives", "AUC", "LightGBM", "difference", "calibration error"):
        table.add_column(title, justify="left" if title == "head" else "right")
    for name, head in heads.items():
        own, trees, apart = (
            _interval(head["auc"].get(key)) for key in ("ranker", "trees", "ranker - trees")
        )
        error = head.get("calibration_error")
        told = "" if error is None else f"{head['calibration_error_before']:.4f} → {error:.4f}"
        table.add_row(name, str(head.get("positives", "")), own, trees, apart, told)
    return table


def _interval(of: tuple[float, float, float] | None) -> str:
    return "" if of is None else f"{of[0]:.4f} ({of[1]:.4f} to {of[2]:.4f})"
