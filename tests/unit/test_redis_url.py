"""A Redis URL is read as its writer meant it, or refused; nothing that is shown of it is a secret."""

from collections.abc import Callable
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError
from redis.connection import parse_url as _parse_url

from contracts.redis_url import is_redis_url, without_secrets
from contracts.settings import RedisSettings

parse_url: Callable[[str], dict[str, object]] = _parse_url
SECRETS = st.text(min_size=1)
PORTS = st.integers(1, 65535)


@given(SECRETS, SECRETS, PORTS, st.integers(0, 15))
def test_whatever_the_password_a_client_reads_what_was_percent_encoded(
    user: str, password: str, port: int, db: int
) -> None:
    secrets = f"{quote(user, safe='')}:{quote(password, safe='')}"
    for url in (f"redis://{secrets}@h:{port}/{db}", f"rediss://{secrets}@h:{port}/{db}"):
        assert is_redis_url(url)
        read = parse_url(url)
        assert [read[k] for k in ("username", "password", "host", "port", "db")] == [
            user, password, "h", port, db,
        ]  # fmt: skip
        assert without_secrets(url) == f"{url.partition('://')[0]}://h:{port}/{db}"
    local = f"unix://{secrets}@/run/redis.sock"
    assert is_redis_url(local)
    assert parse_url(local)["path"] == "/run/redis.sock"
    assert without_secrets(local) == "unix:///run/redis.sock"


@given(st.sampled_from(["", ":", "ann:", "ann:12"]), SECRETS)
def test_what_has_the_form_with_a_password_as_it_is_names_the_host_that_was_meant(
    user: str, password: str
) -> None:
    url = f"redis://{user}{password}@meant:6379/0"
    if is_redis_url(url):
        read = parse_url(url)
        assert (read["host"], read["port"], read["db"]) == ("meant", 6379, 0)


@pytest.mark.parametrize(
    "url",
    [
        "127.0.0.1:6379",
        "localhost",
        "http://127.0.0.1:6379",
        "REDIS://127.0.0.1:6379",
        "redis:/127.0.0.1",
        "redis://",
        "redis://:secret@",
        "redis://127.0.0.1:port",
        "redis://127.0.0.1:99999",
        "redis://127.0.0.1:6379/cache",
        "redis://user:12/secret@127.0.0.1:6379/0",
        "redis://user:12?secret@127.0.0.1:6379/0",
        "redis://user:12?se=cret@127.0.0.1:6379/0",
        "redis://user:12#secret@127.0.0.1:6379/0",
        "redis://:se/cret@127.0.0.1:6379/0",
        "redis://[::1:6379",
        "unix://",
        "unix://run/redis.sock",
    ],
)
def test_what_a_client_would_misread_or_fall_over_is_refused(url: str) -> None:
    assert not is_redis_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "redis://redis",
        "redis://[::1]:6379/0",
        "redis://:p@ss@host:6379",
        "rediss://host:6379?db=2&ssl_cert_reqs=none",
        "unix:///run/redis.sock?db=2",
    ],
)
def test_every_form_that_is_common_is_taken(url: str) -> None:
    assert is_redis_url(url)


@given(SECRETS)
def test_whoever_prints_the_error_prints_no_secret(secret: str) -> None:
    url = f"redis://:{quote(secret, safe='')}zz@host:port"
    with pytest.raises(ValidationError) as caught:
        RedisSettings.model_validate({"url": url})
    assert url not in str(caught.value)
    with pytest.raises(ValidationError, match="write what is special in a password"):
        RedisSettings(url=SecretStr(url))
