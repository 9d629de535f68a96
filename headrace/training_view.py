"""What `headrace train` shows: a bar of the epoch's steps, a line for each epoch that is done."""

from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


class Bars:
    """Looks on while a run goes."""

    def __init__(self, console: Console, epochs: int) -> None:
        self.console, self._epochs = console, epochs
        self._bars = Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
            TimeRemainingColumn(), TextColumn("loss {task.fields[loss]}"), console=console,
        )  # fmt: skip
        self._bar = self._bars.add_task("reading the log", total=None, loss="")

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._bars.stop()

    def epoch(self, number: int, steps: int) -> None:
        """A new one begins."""
        self._bars.reset(self._bar, total=steps, description=f"epoch {number} of {self._epochs}")

    def step(self, loss: float) -> None:
        """One step is done."""
        self._bars.update(self._bar, advance=1, loss=f"{loss:.3f}")

    def told(self, row: dict[str, Any]) -> None:
        """An epoch is done."""
        quality = f"  HR@10 {row['hr']:.4f}  NDCG@10 {row['ndcg']:.4f}" if "ndcg" in row else ""
        self.console.print(
            f"epoch {row['epoch']:3}  loss {row['loss']:.4f}{quality}  {row['seconds']:.0f} s"
        )
