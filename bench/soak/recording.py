"""Samples by panel and line, as they come in; series of them at the end."""

from collections import defaultdict
from typing import Final

import numpy as np

from bench.soak.series import Series, Tolerance

# Panel -> (unit, tolerance over the measured time). None: reported, not judged.
_MEMORY: Final = Tolerance(0.05, 8.0)
PANELS: Final[dict[str, tuple[str, Tolerance | None]]] = {
    "memory of the flows": ("MB", _MEMORY),
    "memory of the API": ("MB", _MEMORY),
    "memory of Redis": ("MB", None),
    # A state is stored packed, and grows until its history is full: some 50 events a viewer.
    "Redis per viewer": ("bytes", Tolerance(0.25, 100.0)),
    "Redis without the viewers": ("MB", Tolerance(0.1, 8.0)),
    "open files and sockets": ("handles", Tolerance(0.05, 4.0)),
    "threads": ("threads", Tolerance(0.0, 5.0)),  # a pool of the event loop may fill: 6 at most
    "processor": ("% of a core", Tolerance(0.25, 8.0)),
    "lag": ("messages", Tolerance(0.5, 2500.0)),
    "feed": ("ms", Tolerance(0.5, 10.0)),
    "event to state": ("ms", Tolerance(0.5, 20.0)),
    "event to feed": ("ms", Tolerance(0.5, 40.0)),
    "video to index": ("ms", Tolerance(0.5, 40.0)),
    "recall": ("of exact search", Tolerance(0.0, 0.01, worse=-1)),
    "index": ("videos", Tolerance(0.02, 100.0)),
    "index, work of the maintenance": ("", None),
    "feeds from a lower rung": ("since start", None),
    "throughput": ("per second", None),
    "load: who there is": ("", None),
    "snapshots on disk": ("MB", Tolerance(0.2, 4.0)),
    "disk": ("MB", None),
    "collections of the oldest generation": ("since start", None),
}
# Lines that are not judged although their panel is: the load itself, and servers that are not ours.
_REPORTED: Final = frozenset({"Apache Kafka", "load", "soak itself", "others"})


class Recording:
    """What was sampled, by panel and line."""

    def __init__(self) -> None:
        self._points: dict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)

    def add(self, panel: str, line: str, at_s: float, value: float | None) -> None:
        """One sample; None is left out."""
        if panel not in PANELS:
            raise KeyError(f"no panel {panel!r}; there are: {', '.join(PANELS)}")
        if value is not None:
            self._points[panel, line].append((at_s, value))

    def series(self) -> list[Series]:
        """All of them, in the order of the panels and of their first sample."""
        out = []
        for panel, (unit, tolerance) in PANELS.items():
            for (of, line), points in self._points.items():
                if of == panel:
                    at_s, values = np.array(points, np.float64).T
                    judged = None if line in _REPORTED else tolerance
                    out.append(Series(panel, line, unit, at_s, values, judged))
        return out
