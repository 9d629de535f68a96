"""The form of a Redis URL, which may carry a password: nothing here repeats one."""

from typing import Final
from urllib.parse import SplitResult, urlsplit

FORM: Final = (
    "redis://host:port/db, rediss://host:port/db or unix:///path, with user:password@ after the //; "
    "write what is special in a password as %XX (/ is %2F, @ is %40, # is %23, ? is %3F, % is %25)"
)


def is_redis_url(url: str) -> bool:
    """Whether it has the form, so that a client reads it as it was meant.

    Clients are more lenient: of `redis://user:12/ab@host` they make host `user` and port 12.

    >>> is_redis_url("redis://:secret@127.0.0.1:6379/0"), is_redis_url("127.0.0.1:6379")
    (True, False)
    """
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 (it raises where it is no number)
    except ValueError:
        return False
    if not url.startswith(("redis://", "rediss://", "unix://")):
        return False
    if "@" in parts.path + parts.query + parts.fragment:  # a password ended the place of the host
        return False
    if parts.scheme == "unix":
        return not _place(parts) and len(parts.path) > 1
    db = parts.path.removeprefix("/")
    return bool(parts.hostname) and (not db or (db.isascii() and db.isdigit()))


def without_secrets(url: str) -> str:
    """Scheme, host, port and path of a URL that has the form.

    >>> without_secrets("redis://ann:secret@127.0.0.1:6379/0?password=secret")
    'redis://127.0.0.1:6379/0'
    """
    parts = urlsplit(url)
    return f"{parts.scheme}://{_place(parts)}{parts.path}"


def _place(parts: SplitResult) -> str:
    return parts.netloc.rpartition("@")[2]
