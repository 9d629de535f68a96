"""What is posted is in the log before it is acknowledged, and in the feed that asks for it."""

import time
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
from litestar.testing import TestClient

from api.app import create_app
from contracts.events import Event, encode_event
from contracts.settings import FeedSettings, Settings
from tests.api.memory import MemoryLog, SilentLog
from tests.api.worlds import SETTINGS, busy_world
from tests.strategies import NOW_MS

FEED = "/v1/recommendations/feed"
EVENTS = "/v1/events"


def event(i: int, user: str = "bob", **changes: Any) -> dict[str, Any]:
    fields = Event(f"e{i}", user, "watch_complete", NOW_MS - 50, video_id=f"v{i}")
    return dict(msgspec.json.decode(encode_event(fields))) | changes


def test_one_event_or_many_are_taken_and_bad_ones_are_named_by_index() -> None:
    made = busy_world()
    before = len(made.log.of("events"))
    with TestClient(create_app(made.deps)) as client:
        one = client.post(EVENTS, json=event(1, note="a field that we do not know"))
        many = client.post(EVENTS, json=[event(2), {"event_id": "x"}, event(3), event(4, user="")])
        none = client.post(EVENTS, json=[])
        bad = client.post(EVENTS, json={"event_type": "dance"})
    assert one.status_code == many.status_code == none.status_code == bad.status_code == 202
    assert one.json() == {"accepted": 1, "rejected": [], "position": f"events:0:{before}"}
    assert many.json()["accepted"] == 2
    assert [r["index"] for r in many.json()["rejected"]] == [1, 3]
    assert many.json()["position"] == f"events:0:{before + 2}"
    assert none.json() == {"accepted": 0, "rejected": [], "position": None}
    assert [r["index"] for r in bad.json()["rejected"]] == [0]
    written = made.log.of("events")[before:]
    assert [m.key for m in written] == [b"bob"] * 3
    assert b"a field that we do not know" in (written[0].value or b"")


def test_a_thousand_events_are_taken_at_once() -> None:
    made = busy_world()
    with TestClient(create_app(made.deps)) as client:
        answer = client.post(EVENTS, json=[event(i, note='a,[b],"c,') for i in range(1000)])
        none = client.post(EVENTS, json=[event(i) for i in range(1001)])
    assert answer.json()["accepted"] == 1000
    assert none.status_code == 400
    assert none.json()["detail"] == "body: more than 1000 events"


def test_an_array_of_too_many_events_is_refused_before_it_takes_memory() -> None:
    made = busy_world()
    with TestClient(create_app(made.deps)) as client:
        tracemalloc.start()
        answer = client.post(EVENTS, content=b"[" + b"0," * 2_000_000 + b"0]")
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert most < 32 << 20


def test_what_kafka_does_not_take_is_503_and_can_be_tried_again() -> None:
    for log in (MemoryLog(down=True), SilentLog()):
        with TestClient(create_app(busy_world(publisher=log).deps)) as client:
            answer = client.post(EVENTS, json=event(1))
        assert answer.status_code == 503
        assert answer.headers["content-type"] == "application/problem+json"
        assert int(answer.headers["retry-after"]) >= 1


def test_videos_and_profiles_are_put_and_deleted_as_messages_of_their_topics() -> None:
    made = busy_world()
    with TestClient(create_app(made.deps)) as client:
        put = client.put("/v1/videos/v900", json={"published_at": NOW_MS, "title": "new"})
        gone = client.delete("/v1/videos/v900")
        person = client.put("/v1/users/kim", json={"user_id": "kim", "age": 30})
        known = client.get("/v1/users/kim")
        forgotten = client.delete("/v1/users/kim")
        unknown = client.get("/v1/users/kim")
    assert [a.status_code for a in (put, gone, person, forgotten)] == [202] * 4
    assert put.json() == {"position": "videos:0:0"}
    assert [(m.key, m.value is None) for m in made.log.of("videos")] == [
        (b"v900", False), (b"v900", True)
    ]  # fmt: skip
    assert b'"video_id":"v900"' in (made.log.of("videos")[0].value or b"")
    assert known.json()["profile"]["age"] == 30
    assert unknown.status_code == 404


def test_what_the_engine_knows_of_a_person_is_in_words() -> None:
    made = busy_world()
    with TestClient(create_app(made.deps)) as client:
        known = client.get("/v1/users/ann").json()
    assert known["user_id"] == "ann"
    assert known["affinities"]["category"]["cooking"] > 0
    assert [h["video_id"] for h in known["history"]] == ["v8", "v4", "v0"]


PATIENT = FeedSettings(deadline_ms=10_000, after_wait_ms=10_000)


def test_a_position_token_makes_ones_own_event_visible_to_the_next_feed() -> None:
    made = busy_world(settings=Settings(api=SETTINGS.api, feed=PATIENT))
    asked: dict[str, Any] = {"user_id": "ann", "limit": 100}
    with TestClient(create_app(made.deps)) as client, ThreadPoolExecutor(1) as beside:
        client.get(FEED, params=asked)  # what came before is folded
        made.users.held = True
        position = client.post(EVENTS, json=event(1, "ann")).json()["position"]
        soon = client.get(FEED, params=asked).json()
        waiting = beside.submit(client.get, FEED, params=asked | {"after": position})
        assert made.users.asked.wait(60)
        made.users.held = False
        held = waiting.result(60).json()
    assert "v1" in [item["video_id"] for item in soon["items"]]
    assert "v1" not in [item["video_id"] for item in held["items"]]
    assert held["degraded"] is None


def test_waiting_for_a_position_is_bounded_and_the_feed_answers_all_the_same() -> None:
    feed = FeedSettings(deadline_ms=10_000)
    made = busy_world(settings=Settings(api=SETTINGS.api, feed=feed))
    made.users.held = True
    with TestClient(create_app(made.deps)) as client:
        position = client.post(EVENTS, json=event(1, "ann")).json()["position"]
        started = time.perf_counter()
        page = client.get(FEED, params={"user_id": "ann", "after": position}).json()
    assert feed.after_wait_ms / 1000 <= time.perf_counter() - started
    assert page["degraded"] is None
    assert len(page["items"]) == 20
