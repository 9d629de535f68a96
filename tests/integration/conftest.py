"""The Redis that the run shares, and this test's own names in it."""

from collections.abc import Iterator
from typing import Any

import pytest
import redis

from streams.keys import Keys


@pytest.fixture
def client(redis_url: str) -> Iterator[Any]:
    """A client of the shared Redis."""
    with redis.Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
def keys(redis_namespace: str) -> Keys:
    """Names that no other test uses."""
    return Keys(redis_namespace)
