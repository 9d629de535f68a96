"""Servers to break, and the matrix: what each fault cost, printed at the end of the run."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.faults.stack import Kafka

_ROWS = pytest.StashKey[list[tuple[str, ...]]]()
_HEAD = ("part and fault", "lost", "doubled", "unavailable", "stale", "command")


@dataclass
class Matrix:
    """Collects the cells of one test."""

    command: str
    rows: list[tuple[str, ...]] = field(default_factory=list)

    def row(
        self, fault: str, *, lost: object, doubled: object, unavailable: str, stale: str
    ) -> None:
        """One row: counts, and in words how long nothing was answered and how long it was old."""
        row = (fault, str(lost), str(doubled), unavailable, stale, self.command)
        self.rows.append(row)


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_ROWS] = []


@pytest.fixture
def matrix(request: pytest.FixtureRequest) -> Iterator[Matrix]:
    """Where a test writes what its fault cost."""
    found = Matrix(f"pytest {request.node.nodeid.split('[')[0]}")
    yield found
    request.config.stash[_ROWS].extend(found.rows)


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    rows = config.stash[_ROWS]
    if rows:
        terminalreporter.section("what the faults cost")
        for row in (_HEAD, tuple("---" for _ in _HEAD), *rows):
            terminalreporter.write_line(f"| {' | '.join(row)} |")


@pytest.fixture
def own_kafka(kafka_factory: Callable[[Path], Kafka], tmp_path: Path) -> Iterator[Kafka]:
    """A broker of this test's own, started."""
    with kafka_factory(tmp_path) as broker:
        yield broker
