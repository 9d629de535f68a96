"""Clients that mean no good, for real against `headrace serve`, while an honest one gets its feeds."""

import json
import resource
import selectors
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import psutil
import pytest

from tests.hostile.serving import Server
from tests.integration.running import eventually

pytestmark = pytest.mark.faults
FEED = "/v1/recommendations/feed?user_id=ann"
MEGABYTE = 1 << 20


@contextmanager
def connections(server: Server, n: int, first: bytes = b"") -> Iterator[list[socket.socket]]:
    """So many connections that have sent `first` and then say nothing."""
    made: list[socket.socket] = []
    try:
        for _ in range(n):
            made.append(server.connect())
            if first:
                made[-1].sendall(first)
        yield made
    finally:
        for connection in made:
            connection.close()


@contextmanager
def open_files(n: int) -> Iterator[None]:
    """Room for n file descriptors in this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < n:
        pytest.skip(f"the hard limit of open files is {hard}, {n} are needed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, n), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def said(connection: socket.socket, timeout_s: float = 30.0) -> bytes:
    """All that the server says until it closes, or for so long."""
    connection.settimeout(timeout_s)
    parts = []
    try:
        while part := connection.recv(65_536):
            parts.append(part)
    except (TimeoutError, ConnectionResetError):
        pass
    return b"".join(parts)


def asked(server: Server, request: bytes, timeout_s: float = 3.0) -> bytes:
    with server.connect() as connection:
        try:
            connection.sendall(request)
        except (BrokenPipeError, ConnectionResetError):
            pass  # refused before it was all sent
        return said(connection, timeout_s)


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/") else 0


def test_ten_thousand_silent_connections_keep_nobody_from_a_feed(server: Server) -> None:
    with open_files(11_000), connections(server, 10_000):
        for _ in range(3):
            server.feed(timeout_s=10)
    server.feed()


def test_slow_headers_keep_nobody_from_a_feed_and_are_ended(server: Server) -> None:
    start = b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-A: "
    with open_files(4_000), connections(server, 3_000, start) as slow:
        for _ in range(3):
            server.feed(timeout_s=10)
        for letter in b"slow":
            time.sleep(0.5)
            for connection in slow[:100]:
                try:
                    connection.sendall(bytes([letter]))
                except OSError:
                    break
        assert closed(slow[:100], 60) == 100, "each is ended, letter by letter or not"


def closed(waiting: list[socket.socket], timeout_s: float) -> int:
    """How many of the connections the server ends in time."""
    ended, until = 0, time.monotonic() + timeout_s
    with selectors.DefaultSelector() as ready:
        for connection in waiting:
            connection.setblocking(False)
            ready.register(connection, selectors.EVENT_READ)
        while ended < len(waiting) and time.monotonic() < until:
            for key, _ in ready.select(1.0):
                connection = waiting[waiting.index(key.fileobj)]  # type: ignore[arg-type]
                try:
                    rest = connection.recv(65_536)
                except ConnectionResetError:
                    rest = b""
                if not rest:
                    ready.unregister(connection)
                    ended += 1
    return ended


def test_slow_bodies_are_ended_and_hold_no_memory(server: Server) -> None:
    head = b"POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    slow_post = head + b"Content-Length: 4000000\r\n\r\n[" + b" " * 50_000
    with connections(server, 300, slow_post) as slow:
        server.feed(timeout_s=10)
        answer = said(slow[0], 60)
        assert status_of(answer) == 408, answer[:300]
        assert b"application/problem+json" in answer
        assert closed(slow[1:], 60) == len(slow) - 1


@pytest.mark.parametrize("chunked", [False, True], ids=["with its length", "in chunks"])
def test_a_body_of_100_mb_is_refused_early_and_not_kept(server: Server, chunked: bool) -> None:
    head = b"POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    size = 100 * MEGABYTE
    head += (
        b"Transfer-Encoding: chunked\r\n\r\n" if chunked else b"Content-Length: %d\r\n\r\n" % size
    )
    part = b" " * MEGABYTE
    before, sent = server.rss(), 0
    with server.connect() as connection:
        connection.settimeout(20)
        try:
            connection.sendall(head)
            while sent < size:
                connection.sendall(b"%x\r\n%s\r\n" % (len(part), part) if chunked else part)
                sent += len(part)
        except OSError:
            pass
        answer = said(connection, 10)
    assert sent < size / 2, f"{sent} of {size} bytes were taken"
    if answer:  # a reset may overtake it
        assert status_of(answer) == 413
    assert server.rss() - before < 40 * MEGABYTE
    server.feed()


def test_endless_header_lines_are_refused(server: Server) -> None:
    request = b"GET /healthz HTTP/1.1\r\nHost: x\r\n"
    assert status_of(asked(server, request + b"".join(
        b"X-%d: %s\r\n" % (i, b"y" * 100) for i in range(20_000)
    ))) in (0, 400, 431)  # fmt: skip
    assert status_of(asked(server, request + b"X: " + b"y" * (10 * MEGABYTE))) in (0, 400, 431)
    server.feed()


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 1_000_000, b"[" * 500_000 + b"]" * 500_000, b'{"a":' * 300_000, b"[{" * 500_000,
        b'[{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}]", b"9" * 4_000_000, b'"' + b"\\" * 2_000_000,
        b"[" + b"{}," * 1_300_000 + b"{}]", b"\xff" * 1000, b"\0" * 1_000_000,
    ],
    ids=range(10),
)  # fmt: skip
def test_a_json_bomb_is_a_400_or_refused_event_by_event(server: Server, body: bytes) -> None:
    for method, path in (("POST", "/v1/events"), ("PUT", "/v1/users/u"), ("PUT", "/v1/videos/v")):
        answer = httpx.request(method, server.url + path, content=body, timeout=60)
        if answer.status_code == 202:
            assert answer.json()["accepted"] == 0
        else:
            assert answer.status_code == 400, answer.text[:300]
            assert answer.headers["content-type"] == "application/problem+json"
    server.feed()


@pytest.mark.parametrize(
    ("query", "statuses"),
    [
        ("limit=1000000000", (400,)),
        ("limit=" + "9" * 5000, (400,)),
        ("limit=1e9", (400,)),
        ("page_token=" + "A" * MEGABYTE, (400, 414, 431, 0)),
        ("after=events:0:" + "9" * 18, (200,)),
        ("after=events:99999999:0", (200,)),
        ("surface=%00%F0%9F%92%A9%22%27%3Cscript%3E", (200,)),
        ("user_id=bob&user_id=cy&limit=5&limit=6", (200, 400)),
        ("device=%FF%FE", (200, 400)),
    ],
    ids=range(9),
)
def test_an_absurd_parameter_is_refused_or_harmless(
    server: Server, query: str, statuses: tuple[int, ...]
) -> None:
    request = f"GET {FEED}&{query} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    answer = asked(server, request.encode(), 10)
    assert status_of(answer) in statuses, answer[:300]


def test_pipelined_requests_are_answered_in_order(server: Server) -> None:
    one = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    last = b"GET /nowhere HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    answer = asked(server, one * 200 + last, 20)
    assert answer.count(b"HTTP/1.1 200") == 200
    assert answer.rindex(b"HTTP/1.1 404") > answer.rindex(b"HTTP/1.1 200")


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "PATCH", "TRACE", "BREW", "get", "x" * 300])
def test_other_methods_are_refused(server: Server, method: str) -> None:
    for path in ("/v1/recommendations/feed", "/v1/events", "/v1/users/a", "/nowhere"):
        request = f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        assert 200 <= status_of(asked(server, request.encode())) < 500 or method == "x" * 300


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 500, b"\0" * 1000, b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 1000,
        b"POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\nContent-Length: 3\r\n\r\n[]",
        b"POST /v1/events HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nZZZ\r\n",
        b"GET /%zz%ff%00/../../etc HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"GET /v1/users/%FF HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"GET http://[::1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: \xff\xfe\r\nConnection: close\r\n\r\n",
    ],
    ids=range(12),
)  # fmt: skip
def test_bytes_that_are_no_request_cost_one_connection(
    server: Server, request_bytes: bytes
) -> None:
    assert status_of(asked(server, request_bytes, 2)) < 500
    server.feed()


def test_clients_that_hang_up_do_not_pile_up(server: Server) -> None:
    worker = max(
        psutil.Process(server.process.pid).children(recursive=True),
        key=lambda p: p.memory_info().rss,
    )

    def open_clients() -> int:
        """Not the files of the process: the pool of connections to Redis grows, up to its bound."""
        mine = [c for c in worker.net_connections("tcp") if c.laddr.port == server.port]
        return sum(c.status != psutil.CONN_LISTEN for c in mine)

    server.feed()
    # Else those of the tests before, which close in their own time, would count as ours.
    eventually(lambda: open_clients() == 0, 60, "the connections of before to be gone")
    with connections(server, 5):
        eventually(lambda: open_clients() == 5, 10, "open connections to be counted")
    event = {"event_id": "e", "user_id": "u", "video_id": "v1", "event_type": "like",
             "timestamp": int(time.time())}  # fmt: skip
    body = json.dumps([event] * 500).encode()
    for i in range(300):
        connection = server.connect()
        if i % 2:
            connection.sendall(f"GET {FEED}&limit=100 HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        else:
            head = f"POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
            connection.sendall(head.encode() + body[: len(body) // (1 + i % 4)])
        linger = b"\x01\0\0\0\0\0\0\0"  # reset, not a polite end
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        connection.close()
    server.feed()
    eventually(lambda: open_clients() == 0, 30, "the connections to be gone")
    assert not server.errors()
