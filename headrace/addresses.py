"""`sandbox.json`: where a running sandbox answers, for whoever wants to talk to it.

Written as a whole when everything is ready, removed at the end: its presence means "ready".
"""

import fcntl
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from contracts.errors import ConfigError
from contracts.settings import Settings
from headrace.environment import read_settings, says

FILE: Final = "sandbox.json"
LOCK: Final = "lock"  # held by the sandbox that runs in the folder
STATE_DIR: Final = Path("state")  # in the working directory, unless told otherwise


class Addresses(msgspec.Struct, frozen=True):
    """`metrics` are the http URLs of each flow's and of the API's /metrics."""

    api: str
    kafka: str
    redis: str
    metrics: tuple[str, ...]
    registry: str | None = None  # of bundles


def write(state_dir: Path, addresses: Addresses) -> None:
    """Replace the file; only its owner may read it, since a URL may carry a password."""
    temporary = state_dir / f"{FILE}.new"
    temporary.unlink(missing_ok=True)
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(addresses), indent=2) + b"\n")
    temporary.replace(state_dir / FILE)


def read(state_dir: Path) -> Addresses:
    """The addresses of the sandbox in `state_dir`.

    Raises:
        ConfigError: none is ready there.
    """
    path = state_dir / FILE
    if path.exists() and not _runs(state_dir):
        raise ConfigError(f"the sandbox in {state_dir} was killed; start it again")
    try:
        return msgspec.json.decode(path.read_bytes(), type=Addresses)
    except FileNotFoundError:
        raise ConfigError(f"no sandbox is ready in {state_dir} (there is no {path})") from None
    except (OSError, msgspec.DecodeError) as e:
        raise ConfigError(f"{path} is not what a sandbox writes: {e}") from None


def _runs(state_dir: Path) -> bool:
    """Whether somebody holds the folder's lock; True where that cannot be told."""
    try:
        with (state_dir / LOCK).open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    return False


def find(state_dir: Path | None, environ: Mapping[str, str]) -> Addresses | None:
    """The sandbox that a command is meant for: the one told, else one that is ready here.

    Settings that name a Kafka or a Redis come first: then None.
    """
    if state_dir is not None:
        return read(state_dir)
    named = any(says(n, environ) for n in ("HEADRACE_KAFKA__BOOTSTRAP", "HEADRACE_REDIS__URL"))
    if named or not (STATE_DIR / FILE).exists():
        return None
    return read(STATE_DIR)


def settings_with(addresses: Addresses | None, environ: Mapping[str, str]) -> Settings:
    """Settings of the environment, pointed to a sandbox if there is one."""
    if addresses is None:
        return read_settings(environ)
    there = {
        "HEADRACE_KAFKA__BOOTSTRAP": addresses.kafka,
        "HEADRACE_REDIS__URL": addresses.redis,
        "HEADRACE_REDIS__URL_FILE": "",
        "HEADRACE_MODEL__REGISTRY": addresses.registry or "",
    }
    return read_settings({**environ, **there})
