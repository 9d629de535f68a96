"""A client of the feed that costs a tenth of what it asks for: plain sockets, one selector, no parsing.

What it looks at of an answer: its status, whether it is whole, that it is not degraded, and how many
items it has.
"""

import selectors
import socket
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

import numpy as np

_WAIT_S: Final = 5.0  # longest for the answers that are under way at the end


@dataclass
class Asked:
    """What came of it.

    Attributes:
        seconds: latency of each answer; in an open loop from when it was due, so that a slow server
            cannot thin out the load that it is measured by.
        degraded: answers that were not from the full rung; short: with fewer items than asked.
        failed: no answer, or another status than 200.
    """

    seconds: list[float] = field(default_factory=list)
    degraded: int = 0
    failed: int = 0
    items: int = 0
    per_s: float = 0.0
    cpu_s: float = 0.0
    took_s: float = 0.0


class _Connection:
    """One kept-alive connection with at most one request under way."""

    def __init__(self, host: str, port: int) -> None:
        self.socket = socket.create_connection((host, port), 5.0)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.since, self.got = 0.0, b""

    def ask(self, request: bytes, since: float) -> None:
        self.since, self.got = since, b""
        self.socket.sendall(request)

    def read(self) -> bytes | None:
        """The whole answer, None until it is there.

        Raises:
            ConnectionError: the other side closed.
        """
        part = self.socket.recv(1 << 17)
        if not part:
            raise ConnectionError("closed")
        self.got += part
        head = self.got.find(b"\r\n\r\n")
        if head < 0:
            return None
        at = self.got.lower().find(b"content-length:", 0, head)
        size = int(self.got[at + 15 : self.got.find(b"\r\n", at)])
        return self.got if len(self.got) >= head + 4 + size else None


class _Client:
    def __init__(self, url: str, paths: Sequence[str], connections: int) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "127.0.0.1", parts.port or 80
        ending = f" HTTP/1.1\r\nhost: {parts.netloc}\r\naccept: */*\r\n\r\n"
        self._requests = [f"GET {path}{ending}".encode() for path in paths]
        self._next = 0
        self._selector = selectors.DefaultSelector()
        self.idle = deque(self._connect() for _ in range(connections))
        self.busy = 0
        self.asked = Asked()

    def _connect(self) -> _Connection:
        connection = _Connection(self._host, self._port)
        self._selector.register(connection.socket, selectors.EVENT_READ, connection)
        return connection

    def send(self, since: float) -> None:
        """The next request on an idle connection; its latency counts from `since`."""
        connection = self.idle.popleft()
        self.busy += 1
        connection.ask(self._requests[self._next % len(self._requests)], since)
        self._next += 1

    def wait(self, timeout_s: float) -> None:
        """Take in what has come."""
        for key, _ in self._selector.select(max(timeout_s, 0.0)):
            connection: _Connection = key.data
            try:
                answer = connection.read()
            except OSError:
                self.asked.failed += 1
                self._selector.unregister(connection.socket)
                connection.socket.close()
                connection, answer = self._connect(), b""
            if answer is not None:
                self.busy -= 1
                self.idle.append(connection)
                if answer:
                    self._count(answer, time.perf_counter() - connection.since)

    def _count(self, answer: bytes, seconds: float) -> None:
        if not answer.startswith(b"HTTP/1.1 200"):
            self.asked.failed += 1
            return
        self.asked.seconds.append(round(seconds, 6))
        self.asked.items += answer.count(b'"video_id":')
        self.asked.degraded += answer.find(b'"degraded":null') < 0

    def finish(self, began: float) -> Asked:
        end = time.perf_counter()
        while self.busy and time.perf_counter() < end + _WAIT_S:
            self.wait(0.1)
        self.asked.failed += self.busy
        self.asked.took_s = end - began
        self.asked.per_s = len(self.asked.seconds) / self.asked.took_s
        return self.asked


def closed_loop(url: str, paths: Sequence[str], seconds: float, connections: int) -> Asked:
    """Every connection asks again as soon as it has its answer."""
    client = _Client(url, paths, connections)
    began = time.perf_counter()
    while (now := time.perf_counter()) < began + seconds:
        while client.idle:
            client.send(now)
        client.wait(0.1)
    return client.finish(began)


def open_loop(
    url: str,
    paths: Sequence[str],
    rate: float,
    seconds: float,
    connections: int,
    seed: int,
    stopped: Callable[[], bool],
) -> Asked:
    """Poisson arrivals; one that finds every connection busy waits for one, and that counts."""
    client = _Client(url, paths, connections)
    many = int(2 * rate * seconds) + 10 if rate else 0
    gaps = np.random.default_rng(seed).exponential(1 / max(rate, 1e-9), many)
    due = deque(t for t in np.cumsum(gaps).tolist() if t < seconds)
    began = time.perf_counter()
    while due and not stopped():
        now = time.perf_counter() - began
        while due and due[0] <= now and client.idle:
            client.send(began + due.popleft())
        rest = due[0] - now if due and client.idle else 0.05
        client.wait(min(rest, 0.05))
    return client.finish(began)
