"""What happened to one request: timings, absorbed failures, removals, and on demand every order."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from types import TracebackType
from typing import Final

from prometheus_client import Histogram

from contracts.batch import Ids
from contracts.metrics import ROWS_REMOVED, STEP_FAILED, STEP_SECONDS

log = logging.getLogger(__name__)

SOURCE: Final = "source"
HYDRATE: Final = "hydrate"
FILTER: Final = "filter"
SCORE: Final = "score"
RERANK: Final = "rerank"


@dataclass(slots=True)
class Trace:
    """Filled while a request runs; `publish` turns it into metrics after the response.

    Attributes:
        timings: (stage, step, seconds) in the order in which steps ended.
        failed: "stage.step" of components whose failure was absorbed.
        removed: filter -> rows that it would remove alone.
        orders: (step, ids after it) when `detailed`, for explanations.
    """

    detailed: bool = False
    clock_s: Callable[[], float] = time.perf_counter
    timings: list[tuple[str, str, float]] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    removed: dict[str, int] = field(default_factory=dict)
    orders: list[tuple[str, Ids]] = field(default_factory=list)

    def contained(self, stage: str, step: str) -> "Step":
        """A block that is timed, and whose exceptions are recorded and swallowed."""
        return Step(self, stage, step)

    def fail(self, stage: str, step: str, reason: object) -> None:
        """Record that a component was skipped."""
        self.failed.append(f"{stage}.{step}")
        # Late is a matter of load: counted, and not said again for each of thousands of requests.
        level = logging.WARNING if isinstance(reason, Exception) else logging.DEBUG
        log.log(level, "%s %s failed: %r", stage, step, reason)

    def order(self, stage: str, step: str, ids: Ids) -> None:
        """Remember the rows after a step; costs nothing unless `detailed`."""
        if self.detailed:
            self.orders.append((f"{stage}.{step}", ids))

    def publish(self) -> None:
        """Add this request to the process's metrics."""
        for stage, step, seconds in self.timings:
            _seconds_of(stage, step).observe(seconds)
        for name in self.failed:
            STEP_FAILED.labels(*name.split(".", 1)).inc()
        for name, rows in self.removed.items():
            if rows:
                ROWS_REMOVED.labels(name).inc(rows)


@cache
def _seconds_of(stage: str, step: str) -> Histogram:
    """The child of two labels; looking it up costs as much as observing."""
    return STEP_SECONDS.labels(stage, step)


class Step:
    """The context manager of `Trace.contained`; a class, since a generator costs 2 us more."""

    __slots__ = ("stage", "started_s", "step", "trace")

    def __init__(self, trace: Trace, stage: str, step: str) -> None:
        self.trace, self.stage, self.step = trace, stage, step
        self.started_s = 0.0

    def __enter__(self) -> None:
        self.started_s = self.trace.clock_s()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        seconds = self.trace.clock_s() - self.started_s
        self.trace.timings.append((self.stage, self.step, seconds))
        if not isinstance(error, Exception):  # cancellation is not ours to swallow
            return False
        self.trace.fail(self.stage, self.step, error)
        return True
