"""The OpenAPI document is whole, and ids in paths are any text."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from litestar import Litestar
from litestar.testing import TestClient

from api.app import create_app
from api.paths import decoded_id, one_segment
from api.problems import ProblemError
from contracts.schemas import schema_of
from tests.api.worlds import busy_world

WORLD = busy_world()


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient[Litestar]]:
    with TestClient(create_app(WORLD.deps)) as client:
        yield client


@pytest.fixture(scope="module")
def document(client: TestClient[Litestar]) -> dict[str, Any]:
    found: dict[str, Any] = client.get("/docs/openapi.json").json()
    return found


def references(of: Any) -> Iterator[str]:
    if isinstance(of, dict):
        if isinstance(of.get("$ref"), str):
            yield of["$ref"]
        for value in of.values():
            yield from references(value)
    elif isinstance(of, list):
        for value in of:
            yield from references(value)


def test_every_reference_of_the_document_is_in_it(document: dict[str, Any]) -> None:
    named = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    assert set(references(document)) <= named


def test_every_body_and_every_answer_has_a_schema(document: dict[str, Any]) -> None:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            assert ("requestBody" in operation) == (method in ("post", "put")), (path, method)
            for status, answer in operation["responses"].items():
                for kind, content in answer["content"].items():
                    assert content["schema"], (path, method, status)
                    assert (kind == "application/problem+json") == (
                        int(status) >= 400 and path.startswith("/v1/")
                    )


def test_the_document_names_what_a_feed_listens_to_and_no_more(document: dict[str, Any]) -> None:
    named = document["paths"]["/v1/recommendations/feed"]["get"]["parameters"]
    assert {parameter["name"] for parameter in named} == {
        "user_id", "limit", "page_token", "after", "country", "language", "surface"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("event", "usable"),
    [
        ({"event_type": "search"}, False),
        ({"event_type": "search", "query": ""}, False),
        ({"event_type": "search", "query": "chess"}, True),
        ({"event_type": "follow"}, False),
        ({"event_type": "follow", "creator_id": "c"}, True),
        ({"event_type": "unfollow", "video_id": "v"}, True),
        ({"event_type": "like"}, False),
        ({"event_type": "scroll"}, True),
    ],
)
def test_the_schema_of_an_event_says_which_type_needs_which_field(
    event: dict[str, Any], usable: bool
) -> None:
    whole = {"event_id": "e", "user_id": "u", "timestamp": 9} | event
    assert jsonschema.Draft202012Validator(schema_of("event")).is_valid(whole) is usable


def test_docs_name_the_schemas_of_bodies(client: TestClient[Litestar]) -> None:
    page = client.get("/docs").text
    assert "VideoInPath" in page
    assert "ProfileInPath" in page


IDS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=40) | st.sampled_from(
    ["a/b", "/", "a/", "//", "..", "%2F", "a?b", "a#b", "ä", "a%", "+", "\0", "x" * 256]
)


@given(IDS)
def test_an_id_in_a_path_comes_back_as_it_was(user: str) -> None:
    sent = "/v1/users/" + quote(user, safe="")
    scope = one_segment({"type": "http", "raw_path": sent.encode(), "path": "/v1/users/"})
    segment = scope["path"].removeprefix("/v1/users/")
    assert "/" not in segment
    assert decoded_id(segment, "user_id") == user


@given(user=IDS.filter(lambda user: set(user) != {"."}))
@settings(max_examples=25, suppress_health_check=list(HealthCheck))
def test_whoever_is_addressed_is_who_is_written_about(
    client: TestClient[Litestar], user: str
) -> None:
    answer = client.put("/v1/users/" + quote(user, safe=""), json={"country": "DE"})
    assert answer.status_code == 202, answer.text
    assert WORLD.log.of("profiles")[-1].key == user.encode()


def test_a_path_that_is_not_utf8_is_refused() -> None:
    with pytest.raises(ProblemError, match="UTF-8"):
        decoded_id("%FF", "user_id")


def test_an_id_that_is_too_long_is_refused(client: TestClient[Litestar]) -> None:
    answer = client.get("/v1/users/" + "x" * 257)
    assert answer.status_code == 400
    assert answer.json()["parameter"] == "user_id"
