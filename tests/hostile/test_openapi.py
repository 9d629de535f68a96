"""The API fuzzed from its own OpenAPI document, over HTTP: no 5xx, and answers as documented."""

import os
from typing import Any
from urllib.parse import quote

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.hostile.serving import Server

CHECKS = [
    not_a_server_error, content_type_conformance, response_schema_conformance,
    status_code_conformance,
]  # fmt: skip
OPERATIONS = [
    ("GET", "/v1/recommendations/feed"), ("GET", "/v1/recommendations/similar"),
    ("GET", "/v1/recommendations/trending"), ("GET", "/v1/recommendations/explain"),
    ("POST", "/v1/events"), ("PUT", "/v1/videos/{video_id}"), ("DELETE", "/v1/videos/{video_id}"),
    ("GET", "/v1/users/{user_id}"), ("PUT", "/v1/users/{user_id}"),
    ("DELETE", "/v1/users/{user_id}"),
]  # fmt: skip
# An address of more than 64 KB, or as many headers, never gets to the application.
BEFORE_THE_APPLICATION = (414, 431)
EXAMPLES = int(os.environ.get("HEADRACE_TEST_EXAMPLES", "8"))  # an operation and mode


@pytest.fixture(scope="module")
def api(server: Server) -> Any:
    return schemathesis.openapi.from_url(f"{server.url}/docs/openapi.json")


def test_the_document_lists_what_is_fuzzed(api: Any) -> None:
    listed = {
        (method.upper(), path)
        for path, methods in api.raw_schema["paths"].items()
        for method in methods
        if path.startswith("/v1/")
    }
    assert listed == set(OPERATIONS)


@pytest.mark.parametrize("mode", list(schemathesis.GenerationMode), ids=lambda m: m.value)
@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_every_operation_answers_as_documented(
    server: Server, api: Any, method: str, path: str, mode: Any
) -> None:
    operation = api[path][method]

    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(
        max_examples=EXAMPLES, deadline=None, phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    def answers(case: Any) -> None:
        answer = case.call(base_url=server.url)
        if answer.status_code in BEFORE_THE_APPLICATION and not answer.content:
            return
        case.validate_response(answer, checks=CHECKS)
        if answer.status_code >= 400:
            assert answer.headers["content-type"] == ["application/problem+json"]

    answers()
    assert not server.errors()


IDS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=30) | st.sampled_from(
    ["a/b", "/", "a/", "//", "..", ".", "%2F", "a?b", "a#b", "a b", "ä", "a%", "+", "\0", "x" * 256]
)


@given(user=IDS)
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
def test_an_id_of_any_characters_is_addressable(server: Server, user: str) -> None:
    # httpx takes the dots of a path away, encoded or not: they go as a client that does not.
    path = "/v1/users/" + quote(user, safe="").replace(".", "%2E")
    with httpx.Client(base_url=server.url, timeout=30) as client:
        taken = client.put(path, json={"country": "DE"})
        assert taken.status_code == 202, taken.text
        params = {"user_id": user, "after": taken.json()["position"]}
        assert client.get("/v1/recommendations/feed", params=params).status_code == 200
        known = client.get(path)
        assert known.status_code == 200, known.text
        assert known.json()["user_id"] == user
        assert known.json()["profile"]["country"] == "DE"
