"""The feed over HTTP, on a real catalog, index, statistics and fold."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import httpx
import numpy as np
import pytest
from litestar.testing import TestClient
from pydantic import SecretStr

from api import home
from api.app import create_app
from api.engine import Engine
from api.funnel.funnel import Funnel
from api.viewer import Request
from contracts.batch import CandidateBatch, Rows
from contracts.engine_records import decode_impression
from contracts.funnel import Query
from contracts.settings import ApiSettings, FeedSettings, Settings
from operators.features.seen import SHOWN_CAPACITY
from tests.api.worlds import CATEGORIES, SETTINGS, World, busy_world, video, world

FEED = "/v1/recommendations/feed"


def get(made: World, path: str = FEED, **params: Any) -> dict[str, Any]:
    with TestClient(create_app(made.deps)) as client:
        answer = client.get(path, params=params)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def ids(page: dict[str, Any]) -> list[str]:
    return [item["video_id"] for item in page["items"]]


def test_the_answer_has_exactly_the_published_fields() -> None:
    page = get(busy_world(), user_id="ann", limit=10)
    assert list(page) == [
        "items", "next_page_token", "latency_ms", "request_id", "bundle", "degraded"
    ]  # fmt: skip
    assert len(page["items"]) == 10
    assert list(page["items"][0]) == [
        "video_id", "title", "thumbnail_url", "score", "source", "tracking_token"
    ]  # fmt: skip
    assert page["bundle"] == "day0"
    assert page["degraded"] is None
    assert isinstance(page["latency_ms"], int)


def test_three_watches_of_one_category_show_in_the_next_feed() -> None:
    made = busy_world()
    before = get(made, user_id="bob", limit=12)
    made.watch("bob", "v2", "v6", "v10")
    after = get(made, user_id="bob", limit=12)

    def cats(page: dict[str, Any]) -> int:
        return sum(int(v[1:]) % len(CATEGORIES) == 2 for v in ids(page))

    assert cats(after) > cats(before)
    assert cats(after) >= 6
    assert not {"v2", "v6", "v10"} & set(ids(after))
    assert "two_tower" in {item["source"] for item in after["items"]}


def test_every_source_of_the_home_funnel_finds_something() -> None:
    videos = [video(i, sponsored=i % 11 == 0) for i in range(400)]
    made = world(videos, Settings(api=SETTINGS.api, feed=FeedSettings(two_tower=40, similar=10)))
    made.count({f"v{i}": 50.0 - i for i in range(40)})
    made.watch("ann", "v0", "v4")
    made.watch("ann", "v300", kind="follow")
    app = create_app(made.deps)
    with TestClient(app) as client:
        steps = client.get("/v1/recommendations/explain", params={"user_id": "ann"}).json()["steps"]
    found = {s["step"]: s["rows"] for s in steps if s["stage"] == "source"}
    assert all(found.values()), found
    assert len(found) == 8


def test_an_unknown_user_gets_the_cold_start_feed() -> None:
    page = get(busy_world(), user_id="stranger")
    assert page["degraded"] is None
    assert len(page["items"]) == 20
    assert "trending" in {item["source"] for item in page["items"]}


def test_who_scrolls_on_and_watches_nothing_never_gets_an_empty_page() -> None:
    """Nothing is known of them but what they were shown, which is held back."""
    made, shown = busy_world(600), list[str]()
    made.users.pages = True
    with TestClient(create_app(made.deps)) as client:
        for _ in range(50):
            page = client.get(FEED, params={"user_id": "scroller", "limit": 20}).json()
            assert len(page["items"]) == 20
            assert not set(ids(page)) & set(shown[-SHOWN_CAPACITY:])
            shown += ids(page)
    assert len(set(shown)) > 300


def test_an_empty_catalog_gives_an_empty_page_and_says_nothing_is_broken() -> None:
    for path in (FEED, "/v1/recommendations/trending"):
        page = get(world(), path, **({"user_id": "ann"} if path == FEED else {}))
        assert page["items"] == []
        assert page["next_page_token"] is None
        assert page["degraded"] is None


@pytest.mark.parametrize("user", ["ann", "stranger"])
@pytest.mark.parametrize("path", [FEED, "/v1/recommendations/similar"])
def test_paging_never_repeats_and_ends(user: str, path: str) -> None:
    made = busy_world(90)
    shown: list[str] = []
    with TestClient(create_app(made.deps)) as client:
        token, pages = "", 0
        while token is not None:
            params: dict[str, Any] = {
                "user_id": user,
                "limit": 7,
                "page_token": token,
                "video_id": "v1",
            }
            page = client.get(path, params=params).json()
            shown += ids(page)
            token, pages = page["next_page_token"], pages + 1
            assert pages < 30
    assert len(shown) == len(set(shown))
    if path == FEED:
        assert len(shown) == (87 if user == "ann" else 90)  # all but the three that ann watched
    else:
        assert "v1" not in shown


def test_a_page_of_everything_is_the_last_page() -> None:
    made = world([video(i) for i in range(20)])
    assert get(made, user_id="ann", limit=20)["next_page_token"] is None
    assert get(made, user_id="ann", limit=19)["next_page_token"] is not None


def test_unknown_country_and_age_see_only_what_is_for_everywhere_and_everyone() -> None:
    videos = [
        video(0), video(1, countries=("DE",)), video(2, min_age=16),
        video(3, countries=("US",)), video(4, countries=("DE",), min_age=16),
    ]  # fmt: skip
    made = world(videos)
    assert set(ids(get(made, user_id="stranger"))) == {"v0"}
    assert set(ids(get(made, user_id="stranger", country="de"))) == {"v0", "v1"}
    made.profile("kim", country="DE", age=15)
    made.profile("lee", country="DE", age=16)
    assert set(ids(get(made, user_id="kim"))) == {"v0", "v1"}
    assert set(ids(get(made, user_id="lee"))) == {"v0", "v1", "v2", "v4"}
    assert set(ids(get(made, user_id="lee", country="US"))) == {"v0", "v2", "v3"}


def test_what_a_viewer_refuses_is_gone_from_every_list() -> None:
    made = busy_world()
    made.profile("kim", blocked_creators=("c1",))
    made.watch("kim", "v5", kind="not_interested")
    made.remove("v6")
    feeds = [
        get(made, user_id="kim", limit=100),
        get(made, "/v1/recommendations/similar", video_id="v2", user_id="kim", limit=100),
    ]
    for page in feeds:
        shown = ids(page)
        assert shown
        assert not {"v5", "v6"} & set(shown)
        assert not [v for v in shown if int(v[1:]) % 9 == 1]


def test_similar_is_similar_and_of_an_unknown_video_404() -> None:
    made = busy_world()
    page = get(made, "/v1/recommendations/similar", video_id="v3", limit=10)
    same = sum(int(v[1:]) % 4 == 3 for v in ids(page))
    assert same >= 7
    assert page["degraded"] is None
    with TestClient(create_app(made.deps)) as client:
        answer = client.get("/v1/recommendations/similar", params={"video_id": "nope"})
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["parameter"] == "video_id"


def test_trending_is_ordered_and_can_be_of_a_category_or_country() -> None:
    made = busy_world()
    made.count({"v5": 80.0, "v9": 70.0}, country=ord("D") << 8 | ord("E"))
    path = "/v1/recommendations/trending"
    page = get(made, path)
    scores = [item["score"] for item in page["items"]]
    assert ids(page)[:2] == ["v5", "v9"]
    assert scores == sorted(scores, reverse=True)
    chess = ids(get(made, path, category="chess"))
    assert chess
    assert all(int(v[1:]) % 4 == 1 for v in chess)
    assert ids(get(made, path, country="DE")) == ["v5", "v9"]


@pytest.mark.parametrize("which", [{}, {"category": "chess"}, {"country": "DE"}])
def test_trending_is_paged_through_to_its_end(which: dict[str, str]) -> None:
    made = busy_world()
    made.count({f"v{i}": 80.0 - i for i in range(30, 60)}, country=ord("D") << 8 | ord("E"))
    path = "/v1/recommendations/trending"
    whole = get(made, path, limit=100, **which)
    assert whole["next_page_token"] is None
    half = len(ids(whole)) // 2 + 1
    first = get(made, path, limit=half, **which)
    second = get(made, path, limit=half, page_token=first["next_page_token"], **which)
    assert ids(first) + ids(second) == ids(whole)
    assert second["next_page_token"] is None


def test_impressions_follow_the_response_with_positions_across_pages() -> None:
    made = busy_world()
    with TestClient(create_app(made.deps)) as client:
        params: dict[str, Any] = {"user_id": "ann", "limit": 10, "surface": "tv", "country": "AT"}
        first = client.get(FEED, params=params).json()
        second = client.get(FEED, params=params | {"page_token": first["next_page_token"]}).json()
    written = [decode_impression(m.value or b"") for m in made.log.of("impressions")]
    assert [w.video_ids for w in written] == [tuple(ids(first)), tuple(ids(second))]
    assert written[0].positions == tuple(range(10))
    assert written[1].positions == tuple(range(10, 20))
    assert (written[0].surface, written[0].country, written[0].rung) == ("tv", "AT", "full")
    assert written[0].propensities[4] < 1  # the place of exploration
    assert len(written[0].features["cosine"]) == 4 * 10
    assert made.log.of("impressions")[0].key == b"ann"


@dataclass(frozen=True)
class RemovesTheBest:
    """A re-ranker that changes nothing, while somebody removes the video that is first."""

    made: World
    name: str = "removes_the_best"

    def rerank(self, query: Query, batch: CandidateBatch) -> Rows:
        self.made.remove(self.made.deps.catalog.video_id(int(batch["row"][0])))
        return np.arange(len(batch))


def test_what_was_drawn_keeps_its_probability_when_a_video_before_it_is_removed() -> None:
    made = busy_world()
    engine, spec = Engine(made.deps), home.home(made.deps)
    spec = replace(spec, rerankers=[*spec.rerankers, RemovesTheBest(made)])
    engine.ladders["feed"] = replace(engine.ladders["feed"], first=Funnel(spec, 5.0))

    async def ask() -> None:
        served = await engine.serve("feed", Request(user_id="ann", limit=20))
        await engine.after_response("feed", served)

    asyncio.run(ask())
    (written,) = [decode_impression(m.value or b"") for m in made.log.of("impressions")]
    assert [i for i, chance in enumerate(written.propensities) if chance < 1] == [3, 13]


def test_the_same_request_made_by_two_workers_signs_alike() -> None:
    made = busy_world()
    page = get(made, user_id="ann", limit=5)
    again = get(made, user_id="ann", limit=5, page_token=page["next_page_token"])
    assert not set(ids(page)) & set(ids(again))


def test_a_key_is_asked_for_when_there_is_one() -> None:
    api = ApiSettings(token_secret=SecretStr("s"), keys=(SecretStr("k1"), SecretStr("k2")))
    app = create_app(busy_world(settings=Settings(api=api)).deps)
    with TestClient(app) as client:
        for header in ({}, {"Authorization": "Bearer no"}, {"Authorization": "Basic k1"}):
            answer = client.get(FEED, params={"user_id": "ann"}, headers=header)
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"] == "Bearer"
        for key in ("k1", "k2"):
            header = {"Authorization": f"Bearer {key}"}
            assert client.get(FEED, params={"user_id": "ann"}, headers=header).status_code == 200
        assert client.get("/healthz").status_code == 200


class _NoThreads(ThreadPoolExecutor):
    def submit(self, *_: Any, **__: Any) -> Any:
        raise AssertionError("a thread was asked for")


@pytest.mark.parametrize("keys", [(), (SecretStr("k1"),)])
def test_a_feed_is_answered_without_a_hand_over_to_a_thread(keys: tuple[SecretStr, ...]) -> None:
    """What serves requests has one thread for them: another one would wait for the same interpreter."""
    api = ApiSettings(token_secret=SecretStr("s"), keys=keys)
    app: Any = create_app(busy_world(settings=Settings(api=api)).deps)

    async def ask() -> int:
        asyncio.get_running_loop().set_default_executor(_NoThreads())
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
            headers = {"Authorization": "Bearer k1"}
            answer = await client.get(FEED, params={"user_id": "ann"}, headers=headers)
            return answer.status_code

    assert asyncio.run(ask()) == 200


def test_health_readiness_metrics_and_documentation() -> None:
    made = busy_world(ready=lambda: (False, "catching up: 3 videos so far"))
    with TestClient(create_app(made.deps)) as client:
        assert client.get("/healthz").status_code == 200
        ready = client.get("/readyz")
        assert (ready.status_code, ready.text.strip()) == (503, "catching up: 3 videos so far")
        client.get(FEED, params={"user_id": "ann"})
        metrics = client.get("/metrics").text
        assert 'headrace_feed_seconds_count{rung="full"}' in metrics
        assert 'headrace_step_seconds_count{stage="source",step="two_tower"}' in metrics
        docs = client.get("/docs")
        assert docs.headers["content-type"].startswith("text/html")
        assert "/v1/recommendations/feed" in docs.text
        assert "http" not in docs.text.replace("HTTP", "")  # nothing is loaded from elsewhere
        paths = client.get("/docs/openapi.json").json()["paths"]
        assert {p.strip("/").split("/")[-1] for p in paths} >= {"feed", "similar", "events"}
        assert client.get("/docs/schemas/event").json()["$schema"]


def test_feeds_of_one_request_id_are_the_same_page() -> None:
    made = busy_world()
    page = get(made, user_id="ann", limit=10)
    token = page["items"][3]["tracking_token"]
    why = get(made, "/v1/recommendations/explain", tracking_token=token)
    assert why["request_id"] == page["request_id"]
    assert why["videos"][0]["video_id"] == page["items"][3]["video_id"]
    assert why["videos"][0]["position"] == 3
