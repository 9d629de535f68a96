"""What `headrace train-ranker` shows: a bar of the epoch's steps, a line an epoch, the heads at the end."""

from typing import Any

from rich.table import Table

from headrace.training_view import Bars


class RankerView(Bars):
    """Looks on while a run goes."""

    def told(self, row: dict[str, Any]) -> None:
        """An epoch is done."""
        self.console.print(
            f"epoch {row['epoch']:3}  loss {row['loss']:.4f}  validation {row['validation']:.4f}"
        )

    def compared(self, report: dict[str, Any]) -> None:
        """The heads on the test, beside LightGBM's."""
        table = Table(title=f"{report['data']}: the test, {report['rows'][2]:,} videos shown")
        for title in ("head", "positives", "AUC", "LightGBM", "difference", "calibration error"):
            table.add_column(title, justify="left" if title == "head" else "right")
        for name, head in report["heads"].items():
            own, trees, apart = (
                _interval(head["auc"].get(key)) for key in ("ranker", "trees", "ranker - trees")
            )
            error = head.get("calibration_error")
            told = "" if error is None else f"{head['calibration_error_before']:.4f} → {error:.4f}"
            table.add_row(name, str(head.get("positives", "")), own, trees, apart, told)
        self.console.print(table)


def _interval(of: tuple[float, float, float] | None) -> str:
    return "" if of is None else f"{of[0]:.4f} ({of[1]:.4f} to {of[2]:.4f})"
