"""Explain says why a video stands where it does, or why it is missing."""

from typing import Any

from litestar.testing import TestClient

from api.app import create_app
from contracts.features import FEATURE_COLUMNS
from tests.api.memory import DownUsers
from tests.api.worlds import World, busy_world, video

EXPLAIN = "/v1/recommendations/explain"


def explain(made: World, **params: Any) -> dict[str, Any]:
    with TestClient(create_app(made.deps)) as client:
        answer = client.get(EXPLAIN, params=params)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def test_a_viewers_feed_is_taken_apart() -> None:
    why = explain(busy_world(), user_id="ann", limit=5)
    assert why["recomputed"] is True
    assert "again" in why["note"]
    assert [v["position"] for v in why["videos"]] == list(range(5))
    for one in why["videos"]:
        assert one["sources"]
        assert one["removed_by"] == []
        assert set(one["features"]) == {spec.name for spec in FEATURE_COLUMNS}
        assert {"p_click", "p_skip", "score"} <= set(one["scores"])
        stages = [s["stage"] for s in one["stages"]]
        assert stages[:3] == ["merge.all", "filter.all", "score.sorted"]
        assert stages[-1] == "rerank.explore_slots"
        for before, after in zip(one["stages"], one["stages"][1:], strict=False):
            assert before["after"] == after["before"]
        assert one["stages"][-1]["after"] == one["position"]
    assert {s["stage"] for s in why["steps"]} == {"source", "hydrate", "filter", "score", "rerank"}


def test_why_a_video_is_missing_names_the_filters() -> None:
    made = busy_world()
    watched = explain(made, user_id="ann", video_id="v4")["videos"][0]
    assert watched["position"] is None
    assert watched["removed_by"] == ["not_seen"]
    assert watched["features"]["affinity_category"] > 0
    assert watched["scores"]["score"] is not None
    made.publish([video(500, countries=("US",), min_age=18)])
    barred = explain(made, user_id="ann", video_id="v500", country="DE")["videos"][0]
    assert barred["removed_by"] == ["licensed_here", "old_enough"]


def test_a_video_that_no_source_found_has_features_and_scores_all_the_same() -> None:
    made = busy_world(900)
    far = "v899"  # the oldest of a category that ann did not watch
    one = explain(made, user_id="ann", video_id=far)["videos"][0]
    if not one["sources"]:
        assert one["position"] is None
        assert one["removed_by"] == []
    assert one["video_id"] == far
    assert one["scores"]["score"] is not None


def test_explain_works_and_says_so_when_the_store_is_gone() -> None:
    why = explain(busy_world(users=DownUsers()), user_id="ann")
    assert why["degraded"] == "no_user_state"
    assert len(why["videos"]) == 20


def test_explaining_leaves_no_impression() -> None:
    made = busy_world()
    explain(made, user_id="ann")
    assert made.log.of("impressions") == []
