"""Queries share the graph, an insertion has it alone."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class SharedLock:
    """Many readers or one writer; a waiting writer goes before readers that come after it.

    The writer has to rest between two turns, else readers that wait at the gate can lose the race.
    """

    def __init__(self) -> None:
        self._gate = threading.Lock()  # held by a writer from when it waits until it is done
        self._count = threading.Lock()
        self._empty = threading.Condition(self._count)
        self._readers = 0

    def acquire_shared(self) -> None:
        """Wait for a writer that has or wants the lock, then share it."""
        with self._gate, self._count:
            self._readers += 1

    def release_shared(self) -> None:
        with self._count:
            self._readers -= 1
            if not self._readers:
                self._empty.notify()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """No reader is inside while the body runs."""
        with self._gate:
            with self._count:
                while self._readers:
                    self._empty.wait()
            yield
