"""The Redis that the run shares, this test's own names in it, and an engine of its own."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from contracts.settings import Settings
from streams.keys import Keys
from streams.topics import create_topics
from tests.integration.running import Deployment, deployment


@pytest.fixture
def client(redis_url: str) -> Iterator[Any]:
    """A client of the shared Redis."""
    with redis.Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
def keys(redis_namespace: str) -> Keys:
    """Names that no other test uses."""
    return Keys(redis_namespace)


@pytest.fixture
def engine(settings: Settings, tmp_path: Path) -> Iterator[Deployment]:
    """A deployment with its topics, in which nothing runs yet."""
    create_topics(settings.kafka)
    with deployment(settings, tmp_path) as running:
        yield running
