"""A child process that can be started again, stopped, killed, frozen; and servers built on it."""

import os
import signal
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from contracts.errors import HeadraceError
from headrace.servers.tether import tethered


def free_port(host: str = "127.0.0.1") -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
    return port


class Process:
    """One command, its log and its environment. Start it from a thread that lives as long as it."""

    def __init__(
        self, command: Sequence[str], log: Path, environ: Mapping[str, str] | None = None
    ) -> None:
        self.command, self.log = list(command), log
        self._environ = dict(os.environ if environ is None else environ)
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Process id of the newest start."""
        if self._child is None:
            raise HeadraceError(f"{self.command[0]} was not started")
        return self._child.pid

    @property
    def running(self) -> bool:
        return self._child is not None and self._child.poll() is None

    @property
    def returncode(self) -> int | None:
        """Exit status of the newest start; minus the signal's number if one ended it."""
        return None if self._child is None else self._child.poll()

    def start(self) -> None:
        """Start it; the log is appended to.

        A session of its own keeps a Ctrl-C at the terminal from it: who started it, stops it.
        """
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._child = subprocess.Popen(
                tethered(self.command),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._environ,
                start_new_session=True,
            )

    def send(self, number: signal.Signals) -> None:
        """Signal it if it runs."""
        if self._child is not None and self.running:
            self._child.send_signal(number)

    def stop(self, timeout_s: float = 10.0) -> int | None:
        """SIGTERM, and SIGKILL after `timeout_s`; its exit status."""
        self.send(signal.SIGCONT)  # a frozen process would not see the SIGTERM
        self.send(signal.SIGTERM)
        return self.wait(timeout_s)

    def wait(self, timeout_s: float) -> int | None:
        """Its exit status; it is killed if it has not ended after `timeout_s`."""
        if self._child is None:
            return None
        try:
            return self._child.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return self.kill()

    def kill(self) -> int | None:
        """SIGKILL, and wait for the end."""
        if self._child is None:
            return None
        self.send(signal.SIGKILL)
        return self._child.wait()

    def freeze(self) -> None:
        """SIGSTOP: connections stay open and nothing answers."""
        self.send(signal.SIGSTOP)

    def thaw(self) -> None:
        self.send(signal.SIGCONT)

    def tail(self, lines: int = 8) -> str:
        """The end of its log."""
        if not self.log.exists():
            return ""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


class Server(ABC):
    """A server on one port and one state, across any number of stops, kills and starts."""

    name = "server"
    start_timeout_s = 20.0

    def __init__(self, command: Sequence[str], log: Path, port: int) -> None:
        self.port = port
        self.process = Process(command, log)

    @abstractmethod
    def answers(self) -> bool:
        """Whether it serves now; waits a second at most."""

    def start(self) -> Self:
        """Start it and wait until it answers.

        Raises:
            HeadraceError: it ended, or does not answer in time; with the end of its log.
        """
        self.process.start()
        give_up_at = time.monotonic() + self.start_timeout_s
        while not self.answers():
            if not self.process.running or time.monotonic() > give_up_at:
                self.process.kill()
                raise HeadraceError(
                    f"{self.name} did not start (status {self.process.returncode}); the end of "
                    f"{self.process.log}:\n{self.process.tail()}"
                )
            time.sleep(0.02)
        return self

    def stop(self) -> None:
        self.process.stop()

    def kill(self) -> None:
        """As `kill -9`."""
        self.process.kill()

    def restart(self) -> None:
        """Stop it in order and start it on the same port and state."""
        self.stop()
        self.start()

    def freeze(self) -> None:
        self.process.freeze()

    def thaw(self) -> None:
        self.process.thaw()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()
