"""Who looks on while a run goes; `headrace train` draws bars."""

from typing import Any, Protocol


class Watch(Protocol):
    """Told what begins and what is done."""

    def stage(self, name: str, epochs: int = 0) -> None:
        """What begins; of so many epochs at most, where it has any."""

    def epoch(self, number: int, steps: int) -> None:
        """An epoch of so many steps begins."""

    def step(self, loss: float) -> None:
        """One step is done."""

    def told(self, row: dict[str, Any]) -> None:
        """An epoch is done; its metrics."""
