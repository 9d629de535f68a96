"""Everything on one machine: servers, flows, API and simulator as child processes of this one.

The processes and their commands are those of production; only the servers are private, unless
settings name others. The embedded broker keeps its log in memory, so a sandbox on it starts empty.
"""

import fcntl
import os
import secrets
import shutil
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import IO, Final

import httpx

from contracts.errors import ConfigError, HeadraceError
from contracts.settings import Settings
from headrace import addresses
from headrace.addresses import Addresses
from headrace.environment import read_settings, says
from headrace.servers.broker import EmbeddedBroker
from headrace.servers.process import Process, Server, free_port
from headrace.servers.redis import EmbeddedRedis
from headrace.supervisor import Say, Supervisor

FLOWS: Final = ("user-state", "video-stats", "video-vectors")
_SERVERS: Final = ("kafka", "redis")
_LOOK_EVERY_S: Final = 0.1
_READY_TIMEOUT_S: Final = 180.0
_HOPELESS_DEATHS: Final = 4  # of one part before anything was ready: it will not get better


@dataclass(frozen=True, slots=True)
class Options:
    """What a sandbox is asked for.

    Attributes:
        state_dir: logs, Redis data, snapshots, the signing secret and `sandbox.json`.
        api_port: 0 = a free one.
        workers: processes of the API.
        viewers: of the simulator.
    """

    state_dir: Path
    simulator: bool = True
    api_port: int = 0
    workers: int = 1
    viewers: int = 150


class Sandbox:
    """One run. `run` blocks until `stop` is set and leaves no process behind."""

    def __init__(self, options: Options, environ: Mapping[str, str], say: Say) -> None:
        """Check settings; nothing is started yet.

        Raises:
            ConfigError: a wrong setting, or one that a sandbox cannot do.
        """
        settings = read_settings(environ)
        if settings.api.tls_certificate or settings.api.tls_key:
            raise ConfigError(
                "the sandbox and all who talk to it speak plain HTTP: do not set "
                "HEADRACE_API__TLS_CERTIFICATE and HEADRACE_API__TLS_KEY for it"
            )
        self._options, self._say = options, say
        self._dir = options.state_dir.resolve()
        self._environ = dict(environ) | {"PYTHONUNBUFFERED": "1"}
        self._own_kafka = not environ.get("HEADRACE_KAFKA__BOOTSTRAP")
        self._own_redis = not says("HEADRACE_REDIS__URL", environ)
        self._host = settings.api.host
        self._api_port = options.api_port or free_port()
        self._flow_ports = {name: free_port() for name in FLOWS}
        self._supervisor = Supervisor(say)

    def run(self, stop: threading.Event) -> None:
        """Start everything, write `sandbox.json`, look after the parts until `stop`.

        Raises:
            HeadraceError: a part does not start; everything else is ended first.
        """
        with only_one(self._dir):
            (self._dir / addresses.FILE).unlink(missing_ok=True)
            try:
                self._start(stop)
                while not stop.wait(_LOOK_EVERY_S):
                    self._supervisor.look(time.monotonic())
            finally:
                self._stop()

    def _start(self, stop: threading.Event) -> None:
        self._clean()
        self._secret()
        settings = self._servers()
        for name in FLOWS:
            metrics = {"HEADRACE_METRICS__PORT": str(self._flow_ports[name])}
            self._child(name, ["stream", name], metrics)
        self._child(
            "api",
            ["serve"],
            {
                "HEADRACE_API__PORT": str(self._api_port),
                "HEADRACE_API__WORKERS": str(self._options.workers),
                "HEADRACE_API__METRICS_DIR": str(self._dir / "metrics"),
            },
        )
        if not self._wait_until_ready(stop):
            return
        addresses.write(self._dir, self._addresses(settings))
        self._say("api", f"is ready at {self._api_url}")
        if self._options.simulator:
            told = {
                "--api": self._api_url,
                "--viewers": str(self._options.viewers),
                "--report": str(self._dir / "simulator.json"),
            }
            self._child("simulator", ["simulate", *chain.from_iterable(told.items())], {})

    def _clean(self) -> None:
        """Remove what belongs to an earlier run; with a log that is gone, all that was folded of it."""
        stale = ["metrics", "simulator.json", "replay.json"]
        if self._own_kafka:
            stale += ["redis", "index"]
        for name in stale:
            path = self._dir / name
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)

    def _secret(self) -> None:
        """A signing secret of this state directory's own, unless settings have one."""
        variable = "HEADRACE_API__TOKEN_SECRET"
        if says(variable, self._environ):
            return
        path = self._dir / "token.secret"
        if not path.exists():
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as f:
                f.write(secrets.token_hex(32))
        self._environ[f"{variable}_FILE"] = str(path)

    def _servers(self) -> Settings:
        """Start the servers that settings do not name, and make the topics."""
        from streams.topics import create_topics

        if self._own_redis:
            redis = EmbeddedRedis(self._dir / "redis", log=self._log("redis"))
            self._serve(redis, f"private, at {redis.url}")
            self._environ["HEADRACE_REDIS__URL"] = redis.url
        if self._own_kafka:
            broker = EmbeddedBroker(self._log("kafka"))
            self._environ["HEADRACE_KAFKA__BOOTSTRAP"] = broker.bootstrap
            settings = read_settings(self._environ)
            where = f"embedded broker at {broker.bootstrap}, in memory only: it starts empty"
            # A broker that comes back has lost its topics: they are part of starting it.
            self._serve(broker, where, then=lambda: create_topics(settings.kafka))
        else:
            settings = read_settings(self._environ)
            made = create_topics(settings.kafka)
            self._say("kafka", f"{settings.kafka.bootstrap}, {sum(made.values())} topics created")
        if not self._own_redis:
            self._say("redis", "the one that settings name")
        index = self._set("HEADRACE_INDEX__SNAPSHOT_DIR", self._dir / "index")
        Path(index).mkdir(parents=True, exist_ok=True)
        self._set("HEADRACE_MODEL__REGISTRY", self._dir / "registry")
        return settings

    def _set(self, variable: str, path: Path) -> str:
        """What the environment says; else this path. An empty value says nothing."""
        said = self._environ[variable] = self._environ.get(variable) or str(path)
        return said

    def _serve(self, server: Server, where: str, then: object = None) -> None:
        def start() -> None:
            server.start()
            if callable(then):
                then()

        name = "redis" if isinstance(server, EmbeddedRedis) else "kafka"
        self._supervisor.start(name, server.process, time.monotonic(), start)
        self._say(name, where)

    def _child(self, name: str, arguments: list[str], environ: Mapping[str, str]) -> None:
        command = [sys.executable, "-m", "headrace", *arguments]
        process = Process(command, self._log(name), {**self._environ, **environ})
        self._supervisor.start(name, process, time.monotonic())
        self._say(name, f"started, process {process.pid}")

    def _log(self, name: str) -> Path:
        return self._dir / "logs" / f"{name}.log"

    @property
    def _api_url(self) -> str:
        host = "127.0.0.1" if self._host in ("0.0.0.0", "::", "") else self._host
        return f"http://{host}:{self._api_port}"

    def _addresses(self, settings: Settings) -> Addresses:
        flows = [f"http://127.0.0.1:{port}/metrics" for port in self._flow_ports.values()]
        return Addresses(
            self._api_url,
            settings.kafka.bootstrap,
            settings.redis.url.get_secret_value(),
            (*flows, f"{self._api_url}/metrics"),
            self._environ["HEADRACE_MODEL__REGISTRY"],
        )

    def _wait_until_ready(self, stop: threading.Event) -> bool:
        """Whether everything answers; False when told to stop first.

        Raises:
            HeadraceError: a part keeps dying, or it takes too long.
        """
        give_up_s = time.monotonic() + _READY_TIMEOUT_S
        waiting = [f"{self._api_url}/readyz"]
        waiting += [f"http://127.0.0.1:{port}/metrics" for port in self._flow_ports.values()]
        with httpx.Client(timeout=1.0, trust_env=False) as http:
            while waiting and not stop.wait(_LOOK_EVERY_S):
                self._supervisor.look(time.monotonic())
                for part in self._supervisor.parts:
                    if part.deaths >= _HOPELESS_DEATHS or time.monotonic() > give_up_s:
                        raise HeadraceError(
                            f"{part.name} does not start; the end of {part.process.log}:\n"
                            f"{part.process.tail()}"
                        )
                waiting = [url for url in waiting if not _ok(http, url)]
        return not waiting

    def _stop(self) -> None:
        (self._dir / addresses.FILE).unlink(missing_ok=True)
        if self._supervisor.parts:
            self._say("sandbox", "stopping")
        self._supervisor.stop(lambda name: name == "simulator")
        self._supervisor.stop(lambda name: name not in _SERVERS)
        self._supervisor.stop()


def _ok(http: httpx.Client, url: str) -> bool:
    try:
        return http.get(url).status_code == 200
    except httpx.HTTPError:
        return False


def only_one(folder: Path) -> IO[str]:
    """A lock on the folder, which is made; held while the file is open.

    Raises:
        ConfigError: another sandbox holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = (folder / addresses.LOCK).open("a+")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.seek(0)
        holder = lock.read().strip()
        lock.close()
        raise ConfigError(
            f"a sandbox already runs in {folder} (process {holder}); end it, or choose another "
            "--state-dir"
        ) from None
    lock.truncate(0)
    lock.write(f"{os.getpid()}\n")
    lock.flush()
    return lock
