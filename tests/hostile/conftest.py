"""One server for the tests of this folder: what one hostile client leaves behind meets the next."""

from collections.abc import Iterator

import pytest
from pydantic import SecretStr

from contracts.settings import KafkaSettings, RedisSettings, Settings
from tests.hostile.serving import Server, serving


@pytest.fixture(scope="session")
def server(
    kafka_bootstrap: str, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """`headrace serve` over real Kafka and Redis."""
    settings = Settings(
        kafka=KafkaSettings(bootstrap=kafka_bootstrap, topic_prefix="hostile."),
        redis=RedisSettings(url=SecretStr(redis_url), namespace="hostile"),
    )
    soon = {"HEADRACE_API__HEADER_TIMEOUT_S": "8", "HEADRACE_API__BODY_TIMEOUT_S": "5"}
    with serving(settings, tmp_path_factory.mktemp("hostile"), soon) as running:
        yield running
