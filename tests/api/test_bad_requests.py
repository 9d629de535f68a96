"""Whatever is wrong with a request, the answer is problem+json that names the parameter."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from litestar import Litestar
from litestar.testing import TestClient
from pydantic import SecretStr

from api.app import create_app
from contracts.settings import ApiSettings, Settings
from tests.api.memory import DownUsers
from tests.api.worlds import busy_world

V1 = "/v1"
REC = f"{V1}/recommendations"
WORLD = busy_world(
    settings=Settings(api=ApiSettings(token_secret=SecretStr("s"), max_body_bytes=20_000))
)


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient[Litestar]]:
    with TestClient(create_app(WORLD.deps)) as client:
        yield client


BAD_QUERIES = [
    ("feed", {}, "user_id"),
    ("feed", {"user_id": ""}, "user_id"),
    ("feed", {"user_id": "u" * 257}, "user_id"),
    *[("feed", {"user_id": "a", "limit": x}, "limit") for x in ("0", "101", "-1", "x", "1.5", "")],
    *[("feed", {"user_id": "a", "page_token": x}, "page_token") for x in ("x", "A" * 40, "=é")],
    *[("feed", {"user_id": "a", "after": x}, "after") for x in
      ("x", "events:1", "events:-1:5", "events:1:x", "nothing:1:1", "a" * 65)],
    *[("feed", {"user_id": "a", "country": x}, "country") for x in ("D", "DEU", "1A", "é1")],
    *[("feed", {"user_id": "a", "language": x}, "language") for x in ("d", "deutsch", "d1", "de-")],
    ("feed", {"user_id": "a", "surface": "x" * 65}, "surface"),
    ("similar", {}, "video_id"),
    ("similar", {"video_id": "v0", "limit": "0"}, "limit"),
    ("similar", {"video_id": "v0", "page_token": "x" * 30}, "page_token"),
    ("trending", {"limit": "1000"}, "limit"),
    ("trending", {"country": "Germany"}, "country"),
    ("trending", {"category": "c" * 129}, "category"),
    ("trending", {"page_token": "x" * 30}, "page_token"),
    ("explain", {}, "user_id"),
    ("explain", {"tracking_token": "forged"}, "tracking_token"),
]  # fmt: skip


def problem(answer: Any, status: int, parameter: str | None) -> None:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert body["status"] == status
    assert body["title"]
    assert body["detail"]
    assert body.get("parameter") == parameter


@pytest.mark.parametrize(("path", "params", "parameter"), BAD_QUERIES)
def test_a_bad_query_parameter_is_named(
    client: TestClient[Litestar], path: str, params: dict[str, str], parameter: str
) -> None:
    problem(client.get(f"{REC}/{path}", params=params), 400, parameter)


def test_a_page_token_of_another_viewer_or_list_is_refused(client: TestClient[Litestar]) -> None:
    page = client.get(f"{REC}/feed", params={"user_id": "ann", "limit": 3}).json()
    token = page["next_page_token"]
    problem(
        client.get(f"{REC}/feed", params={"user_id": "bob", "page_token": token}), 400, "page_token"
    )
    params = {"user_id": "ann", "video_id": "v0", "page_token": token}
    problem(client.get(f"{REC}/similar", params=params), 400, "page_token")
    token = client.get(f"{REC}/trending", params={"limit": 2}).json()["next_page_token"]
    for other in ({"country": "DE"}, {"category": "chess"}):
        answer = client.get(f"{REC}/trending", params={"page_token": token, **other})
        problem(answer, 400, "page_token")
    tracking = page["items"][0]["tracking_token"]
    params = {"user_id": "ann", "page_token": tracking}
    problem(client.get(f"{REC}/feed", params=params), 400, "page_token")


BAD_BODIES = [
    ("POST", "/events", b"", "body"),
    ("POST", "/events", b"[{]", "body"),
    ("POST", "/events", b"[" + b"{}," * 1000 + b"{}]", "body"),
    ("POST", "/events", b"[" * 15_000, "body"),
    ("PUT", "/videos/v1", b"", "body"),
    ("PUT", "/videos/v1", b"[]", "body"),
    ("PUT", "/videos/v1", b"\xff\xfe", "body"),
    ("PUT", "/videos/v1", b"{}", "body"),
    ("PUT", "/videos/v1", b'{"published_at": "x"}', "published_at"),
    ("PUT", "/videos/v1", b'{"published_at": -1}', "published_at"),
    ("PUT", "/videos/v1", b'{"published_at": 1, "title": 5}', "title"),
    ("PUT", "/videos/v1", b'{"published_at": 1, "countries": ["Germany"]}', "countries"),
    ("PUT", "/videos/v1", b'{"published_at": 1, "embedding": [NaN]}', "body"),
    ("PUT", "/videos/v1", b'{"video_id": "v2", "published_at": 1}', "video_id"),
    ("PUT", "/videos/" + "v" * 257, b'{"published_at": 1}', "video_id"),
    ("PUT", "/users/u1", b'{"user_id": "u2"}', "user_id"),
    ("PUT", "/users/u1", b'{"age": 400}', "age"),
    ("PUT", "/users/u1", b'{"interests": "cooking"}', "interests"),
    ("DELETE", "/users/" + "u" * 257, b"", "user_id"),
]


@pytest.mark.parametrize(("method", "path", "body", "parameter"), BAD_BODIES)
def test_a_bad_body_is_named(
    client: TestClient[Litestar], method: str, path: str, body: bytes, parameter: str
) -> None:
    written = len(WORLD.log.messages)
    problem(client.request(method, V1 + path, content=body), 400, parameter)
    assert len(WORLD.log.messages) == written


def test_too_large_a_body_is_refused(client: TestClient[Litestar]) -> None:
    for method, path in (("POST", "/events"), ("PUT", "/videos/v1"), ("PUT", "/users/u1")):
        problem(client.request(method, V1 + path, content=b" " * 20_001), 413, "body")


def test_what_is_not_there_is_a_problem_too(client: TestClient[Litestar]) -> None:
    problem(client.get("/v1/nothing"), 404, None)
    problem(client.delete(f"{REC}/feed"), 405, None)
    problem(client.get(f"{V1}/users/stranger"), 404, "user_id")
    problem(client.get(f"{REC}/similar", params={"video_id": "nope"}), 404, "video_id")
    params = {"user_id": "ann", "video_id": "nope"}
    problem(client.get(f"{REC}/explain", params=params), 404, "video_id")
    problem(client.get("/docs/schemas/nothing"), 404, "name")


def test_a_store_that_is_down_is_503_where_there_is_no_rung_below() -> None:
    with TestClient(create_app(busy_world(users=DownUsers()).deps)) as client:
        answer = client.get(f"{V1}/users/ann")
    problem(answer, 503, None)
    assert int(answer.headers["retry-after"]) >= 1


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.dictionaries(
        st.sampled_from(
            ["user_id", "limit", "page_token", "after", "country", "language", "surface"]
        ),
        st.text(max_size=30),
    )
)
def test_no_query_at_all_can_make_the_server_stumble(
    client: TestClient[Litestar], params: dict[str, str]
) -> None:
    answer = client.get(f"{REC}/feed", params=params)
    assert answer.status_code in (200, 400)
    if answer.status_code == 400:
        problem(answer, 400, answer.json()["parameter"])


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.binary(max_size=200))
def test_no_body_at_all_can_make_the_server_stumble(
    client: TestClient[Litestar], body: bytes
) -> None:
    assert client.post(f"{V1}/events", content=body).status_code in (202, 400)
    assert client.put(f"{V1}/videos/v1", content=body).status_code in (202, 400)
    assert client.put(f"{V1}/users/u1", content=body).status_code in (202, 400)
