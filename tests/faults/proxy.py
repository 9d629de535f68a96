"""A TCP proxy in front of a real server: every answer comes late and in small pieces."""

import contextlib
import socket
import threading
import time
from typing import Self


class SlowProxy:
    """Passes bytes on, both ways; answers wait `delay_s` and then trickle in `piece` bytes.

    Set `delay_s` to 0 and it is as fast as it can be.
    """

    def __init__(self, piece: int = 4096) -> None:
        self.delay_s = 0.0
        self._target, self._piece = 0, piece
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._closed = threading.Event()
        self._open: set[socket.socket] = set()

    def before(self, target_port: int) -> Self:
        """Stand in front of this port."""
        self._target = target_port
        return self

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for one in list(self._open):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while not self._closed.is_set():
            try:
                client, _ = self._listener.accept()
            except OSError:  # the listener was closed
                return
            try:
                server = socket.create_connection(("127.0.0.1", self._target), 5)
            except OSError:
                client.close()
                continue
            server.settimeout(None)
            self._open |= {client, server}
            for source, sink, slow in ((client, server, False), (server, client, True)):
                threading.Thread(target=self._pass, args=(source, sink, slow), daemon=True).start()

    def _pass(self, source: socket.socket, sink: socket.socket, slow: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65_536):
                if slow and self.delay_s:
                    self._trickle(sink, data)
                else:
                    sink.sendall(data)
        for one in (source, sink):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        source.close()  # each is the source of one thread

    def _trickle(self, sink: socket.socket, data: bytes) -> None:
        time.sleep(self.delay_s)
        for at in range(0, len(data), self._piece):
            sink.sendall(data[at : at + self._piece])
            time.sleep(self.delay_s / 20)
