"""Since when a part has been without a service that it needs: what it says while it waits."""

import time
from dataclasses import dataclass


@dataclass(slots=True)
class Outage:
    """Written by one thread, read by any."""

    _since_s: float | None = None

    def begin(self) -> None:
        """The service is away; the first of several in a row counts."""
        if self._since_s is None:
            self._since_s = time.monotonic()

    def end(self) -> None:
        """It is there."""
        self._since_s = None

    def seconds(self) -> float:
        """How long it has been away, 0 while it is there."""
        since_s = self._since_s
        return 0.0 if since_s is None else time.monotonic() - since_s
