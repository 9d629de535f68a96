"""What a process holds, step by step: what is current is whole, and stays until the next one is."""

import threading
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis

from contracts.errors import BundleError
from contracts.lineup import Lineup
from contracts.settings import ModelSettings, Settings
from headrace.models import announce, lineup_of
from headrace.promotion import missing, promote
from model_runtime import bundles
from streams.fold_generation import AfterServing
from streams.generations import Generations
from streams.keys import Keys
from streams.presence import Presence
from streams.topics import create_topics
from streams.vector_marks import VectorMarks
from tests.integration.promoting import SMALL
from tests.integration.running import eventually

pytestmark = pytest.mark.redis


@dataclass
class Part:
    """Stands for catalog and index of one bundle."""

    bundle: str
    whole: bool = True
    closed: bool = False

    def ready(self) -> bool:
        return self.whole

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def presence(client: redis.Redis, keys: Keys) -> Presence:
    return Presence(client, keys.holders, "api")


@pytest.fixture
def marks(client: redis.Redis, keys: Keys) -> VectorMarks:
    return VectorMarks(client, keys.vector_marks)


def test_what_is_not_whole_is_never_current(presence: Presence) -> None:
    held = Generations(Lineup("a"), lambda b: Part(b, whole=b == "a"), presence)
    held.hear(Lineup("b", "a"))
    held.step(1.0)
    assert set(held.held) == {"a", "b"}
    assert held.current.bundle == "a"
    held.held["b"].whole = True
    held.step(2.0)
    assert held.current.bundle == "b"


def test_the_step_is_not_taken_before_it_may_be_and_is_told_before_it_is(
    presence: Presence,
) -> None:
    held, allowed, told = Generations(Lineup("a"), Part, presence), list[bool](), list[str]()
    held.may_switch = lambda _: bool(allowed)
    held.on_switch = lambda new: told.append(f"{held.current.bundle} to {new.bundle}")
    held.hear(Lineup("b", "a"))
    held.step(1.0)
    assert (held.current.bundle, told) == ("a", [])
    allowed.append(True)
    held.step(2.0)
    assert (held.current.bundle, told) == ("b", ["a to b"])


def test_what_left_the_lineup_is_let_go_when_nobody_can_use_it_any_more(
    presence: Presence,
) -> None:
    held = Generations(Lineup("a"), Part, presence)
    held.hear(Lineup("b", "a"))
    held.step(1.0)
    old = held.held["a"]
    held.hear(Lineup("b"))
    held.step(2.0)
    assert not old.closed, "requests that began with it may still run"
    held.step(11.9)
    assert not old.closed
    held.step(12.1)
    assert old.closed
    assert set(held.held) == {"b"}


def test_what_comes_back_before_it_was_let_go_is_the_same_and_a_current_one_is_never_let_go(
    presence: Presence,
) -> None:
    held = Generations(Lineup("a"), Part, presence)
    first = held.current
    held.hear(Lineup("b", "c"))
    held.held["b"] = Part("b", whole=False)
    for now_s in (1.0, 20.0, 40.0):
        held.step(now_s)
        assert held.current is first
        assert not first.closed
    held.hear(Lineup("a", "b"))
    held.step(50.0)
    assert held.current is first


def test_a_refused_bundle_leaves_everything_as_it_is_and_is_tried_again_later(
    presence: Presence,
) -> None:
    broken = {"b"}

    def build(bundle: str) -> Part:
        if bundle in broken:
            raise BundleError(f"{bundle} is torn")
        return Part(bundle)

    held, now_s = Generations(Lineup("a"), build, presence), time.monotonic()
    held.hear(Lineup("b", "a"))
    held.step(now_s)
    assert (held.current.bundle, held.refused) == ("a", {"b": "b is torn"})
    broken.clear()
    held.step(now_s + 5.0)
    assert held.current.bundle == "a", "not at once: what is torn is seldom put right so soon"
    held.step(now_s + 40.0)
    assert (held.current.bundle, held.refused) == ("b", {})


def test_a_bundle_that_raises_whatever_is_refused_too(presence: Presence) -> None:
    def build(bundle: str) -> Part:
        if bundle == "b":
            raise ZeroDivisionError
        return Part(bundle)

    held = Generations(Lineup("a"), build, presence)
    held.hear(Lineup("b", "a"))
    held.step(time.monotonic())
    assert held.current.bundle == "a"
    assert "ZeroDivisionError" in held.refused["b"]


def test_a_process_starts_with_what_is_beside_if_it_must_and_not_at_all_with_nothing(
    presence: Presence,
) -> None:
    def build(bundle: str) -> Part:
        if bundle != "a":
            raise BundleError(f"{bundle} is torn")
        return Part(bundle)

    assert Generations(Lineup("b", "a"), build, presence).current.bundle == "a"
    with pytest.raises(BundleError, match=r"b is torn; c is torn"):
        Generations(Lineup("b", "c"), build, presence)


def test_a_process_says_what_it_holds_while_it_builds_and_takes_it_back_when_it_ends(
    presence: Presence,
) -> None:
    going_on = threading.Event()

    def build(bundle: str) -> Part:
        if bundle == "b":
            assert going_on.wait(60)
        return Part(bundle)

    held = Generations(Lineup("a"), build, presence)
    held.start()
    try:
        eventually(lambda: [h.ready for h in presence.holders()] == [("a",)])
        held.hear(Lineup("a", "b"))
        time.sleep(7.0)  # longer than anybody is believed who says nothing
        assert [(h.bundle, h.ready) for h in presence.holders()] == [("a", ("a",))]
        going_on.set()
        eventually(lambda: [h.ready for h in presence.holders()] == [("a", "b")])
    finally:
        going_on.set()
        held.close()
    assert presence.holders() == []


def test_a_promotion_waits_for_every_partition_and_every_holder_and_stops_at_a_refusal(
    presence: Presence, marks: VectorMarks, client: redis.Redis, keys: Keys
) -> None:
    assert "no vector flow runs" in missing("b", marks, presence.holders())
    presence.say("a", ("a",), {})
    Presence(client, keys.holders, "video-vectors").say("a", ("a", "b"), {})
    marks.set("b", "videos:0", "topic", 2)
    assert "1 of 2 partitions" in missing("b", marks, presence.holders())
    marks.set("b", "videos:1", "topic", 2)
    assert missing("b", marks, presence.holders()).startswith("api ")
    presence.say("a", ("a", "b"), {})
    assert missing("b", marks, presence.holders()) == ""
    presence.say("a", ("a",), {"b": "torn"})
    with pytest.raises(BundleError, match=r"api .* refuses it: torn"):
        missing("b", marks, presence.holders())


@pytest.mark.kafka
@pytest.mark.parametrize(("held", "left"), [("old", "old"), (None, None), ("new", None)])
def test_what_was_held_beside_is_held_again_when_another_bundle_is_refused(
    settings: Settings, client: redis.Redis, presence: Presence, tmp_path: Path,
    held: str | None, left: str | None,
) -> None:  # fmt: skip
    create_topics(settings.kafka)
    settings = settings.model_copy(update={"model": ModelSettings(registry=str(tmp_path))})
    bundles.publish_day0(tmp_path, "new", SMALL)
    announce(settings, Lineup("day0", held))
    presence.say("day0", ("day0",), {"new": "torn"})
    with pytest.raises(BundleError, match="refuses it: torn"):
        promote(settings, client, "new", 30, print)
    lineup = lineup_of(settings)
    assert (lineup.live, lineup.beside) == ("day0", left)


def test_a_mark_goes_with_its_bundle_and_counts_for_its_own_topic_only(marks: VectorMarks) -> None:
    for bundle in ("a", "b.1-x"):
        for p in range(2):
            marks.set(bundle, f"videos:{p}", "one", 2)
    assert marks.complete("b.1-x")
    assert marks.has("a", "videos:1", "one")
    assert not marks.has("a", "videos:1", "another"), "the topic was made anew"
    marks.keep_only(["b.1-x"], ["videos:0"])
    assert (marks.progress("a"), marks.progress("b.1-x")) == ((1, 2), (2, 2))
    assert not marks.complete("a"), "another process speaks for the other partition"


def test_the_user_flow_waits_for_all_who_serve_but_not_for_ever(
    client: redis.Redis, keys: Keys, presence: Presence
) -> None:
    lineup, clock = [Lineup("a")], [0.0]
    after = AfterServing(presence, lambda: lineup[0], lambda: clock[0])
    presence.say("a", ("a", "b"), {})
    Presence(client, keys.holders, "user-state").say("a", ("a", "b"), {})
    lineup[0] = Lineup("b", "a")
    assert not after(None)
    clock[0] = 59.0
    assert not after(None)
    clock[0] = 61.0
    assert after(None)
    lineup[0] = Lineup("a", "b")
    assert after(None), "whoever serves it already is not waited for"
    lineup[0] = Lineup("b", "a")
    assert not after(None)
    presence.say("b", ("a", "b"), {})
    assert after(None)
