"""A serving process that is started in the middle of everything."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from contracts.events import encode_event
from contracts.videos import encode_video
from tests.faults.load import Load, Writer, clip, event
from tests.faults.world import Broker, Serving, World, world
from tests.integration.running import eventually

NEVER = threading.Event()


@pytest.fixture(scope="module")
def running(
    tmp_path_factory: pytest.TempPathFactory, kafka_factory: Callable[[Path], Broker]
) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("world")
    broker = kafka_factory(folder)
    with world(folder, broker, HEADRACE_INDEX__SNAPSHOT_EVERY_S="1") as started:
        yield started


@pytest.mark.faults
def test_a_server_that_comes_back_never_shows_what_was_removed_while_it_was_away(
    running: World,
) -> None:
    writer, names = Writer(running.settings), [f"v{i}" for i in range(200)]
    writer.send("videos", [(n, encode_video(clip(n, i))) for i, n in enumerate(names)], NEVER)
    running.until(lambda: running.videos() == len(names), 60, "the videos to be there")
    running.rest(3.0)  # a snapshot of them
    running.kill("api")
    writer.send("videos", [(n, None) for n in names[:190]], NEVER)
    eventually(running.caught_up, 30, "the removals to be on `video-vectors`")
    shown: set[str] = set()

    def answers() -> bool:
        page = running.get("/v1/recommendations/feed", user_id="ann", limit=20)
        if page is None or page.status_code != 200:
            return False
        shown.update(item["video_id"] for item in page.json()["items"])
        return True

    running.kafka.freeze()  # what it boots from is there at once, what came since is not
    began = time.monotonic()
    running.until(lambda: answers() or time.monotonic() - began > 6, 10, "the server to start")
    running.kafka.thaw()
    running.until(answers, 60, "the feed to answer")
    assert shown <= set(names[190:])


@pytest.mark.faults
def test_a_replica_that_starts_in_the_middle_of_everything_becomes_equal_to_the_first(
    running: World,
) -> None:
    writer = Writer(running.settings)
    loud = clip("loud", 3)
    with Load(running, seed=7, stable=40) as load:
        load.settle()
        writer.send("videos", [(loud.video_id, encode_video(loud))], NEVER)
        clicks = [event(f"fan{i}", 0, loud.video_id, "click") for i in range(50)]
        writer.send("events", [(e.user_id, encode_event(e)) for e in clicks], NEVER)
        running.rest(2.0)
        second = running.replica("second")
        running.rest(3.0)
        writer.send("videos", [(loud.video_id, None)], NEVER)
        running.until(lambda: not running.retrievable(loud.video_id), 30, "it to be gone")
        writer.send("videos", [(loud.video_id, encode_video(loud))], NEVER)
        running.rest(2.0)
    third = running.replica("third")
    running.until(running.caught_up, 60, "all flows to have folded all")
    names = sorted(load.alive)
    for other in (second, third):
        running.until(lambda o=other: o.ready(), 60, "the replica to be ready")  # type: ignore[misc]
        running.until(lambda o=other: same(running, o, names), 30, "the same videos")  # type: ignore[misc]


def same(one: Serving, other: Serving, names: list[str]) -> bool:
    """Whether both hold the same videos, and rank each with the same numbers."""
    if one.videos() != other.videos():
        return False
    for name in [*names[::5], "loud"]:
        a, b = one.features("fan1", name), other.features("fan1", name)
        assert a.keys() == b.keys()
        for feature, value in a.items():
            assert b[feature] == pytest.approx(value, rel=1e-2, abs=1e-3), (name, feature)
    return one.trending() == other.trending()
