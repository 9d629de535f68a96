"""What `headrace train` shows: a bar of the epoch's steps, a line for each epoch that is done."""

from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


class Bars:
    """Looks on while a run goes."""

    def __init__(self, console: Console) -> None:
        self.console, self._stage, self._epochs = console, "", 0
        self._bars = Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
            TimeRemainingColumn(), TextColumn("loss {task.fields[loss]}"), console=console,
        )  # fmt: skip
        self._bar = self._bars.add_task("", total=None, loss="")

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

    def stage(self, name: str, epochs: int = 0) -> None:
        """What begins."""
        self._stage, self._epochs = name, epochs
        self._bars.reset(self._bar, total=1, description=name, loss="")

    def epoch(self, number: int, steps: int) -> None:
        """A new one begins."""
        what = f"{self._stage}, epoch {number} of {self._epochs}"
        self._bars.reset(self._bar, total=steps, description=what)

    def step(self, loss: float) -> None:
        """One step is done."""
        self._bars.update(self._bar, advance=1, loss=f"{loss:.3f}")

    def told(self, row: dict[str, Any]) -> None:
        """An epoch is done."""
        line = f"{self._stage}: epoch {row['epoch']:3}  loss {row['loss']:.4f}"
        for name, title in (("hr", "HR@10"), ("ndcg", "NDCG@10"), ("validation", "validation")):
            line += f"  {title} {row[name]:.4f}" if name in row else ""
        self.console.print(line + (f"  {row['seconds']:.0f} s" if "seconds" in row else ""))
