"""The figures of a running simulation."""

from collections.abc import Callable
from typing import Any, Final

from headrace.simulator.plan import World

Report = Callable[[dict[str, Any]], None]
FILE: Final = "simulator.json"  # in the state directory
HISTORY_EVERY_S: Final = 10.0
_HISTORY: Final = 360


class Reporter:
    """Collects everything that is measured into one JSON-able tree."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._began_s = world.now_s()
        self._history: list[dict[str, float | None]] = []
        self._last = (self._began_s, 0, 0)
        self._rates = (0.0, 0.0)

    def figures(self, phase: str) -> dict[str, Any]:
        """What is known now. `phase` is publishing, running or done."""
        world, now_s = self._world, self._world.now_s()
        elapsed_s = now_s - self._began_s
        quality = world.quality.report(now_s)
        self._measure_rates(now_s)
        self._remember(elapsed_s, quality["recent"])
        return {
            "phase": phase,
            "at_ms": world.now_ms(),
            "elapsed_s": elapsed_s,
            "seed": world.plan.seed,
            "viewers": world.plan.viewers,
            "videos": len(world.catalogue.published),
            "videos_wanted": world.plan.videos,
            "feeds_per_s": self._rates[0],
            "events_per_s": self._rates[1],
            "quality": quality,
            "history": self._history,
            "complaints": list(world.complaints),
            **world.meters.report(now_s),
        }

    def _measure_rates(self, now_s: float) -> None:
        """Per second since the last time, smoothed a little."""
        then_s, feeds, events = self._last
        counts = self._world.meters.counts
        if now_s - then_s < 0.5:
            return
        new = (
            (counts["feeds"] - feeds) / (now_s - then_s),
            (counts["events"] - events) / (now_s - then_s),
        )
        self._rates = (
            0.7 * self._rates[0] + 0.3 * new[0],
            0.7 * self._rates[1] + 0.3 * new[1],
        )
        self._last = (now_s, counts["feeds"], counts["events"])

    def _remember(self, elapsed_s: float, recent: dict[str, Any]) -> None:
        """Keep a point of the curve every few seconds; when full, every second one goes."""
        newest = self._history[-1]["elapsed_s"] if self._history else None
        if newest is not None and elapsed_s - newest < HISTORY_EVERY_S:
            return
        self._history.append({"elapsed_s": elapsed_s, "ratio": recent["ratio"]})
        if len(self._history) > _HISTORY:
            del self._history[1::2]
