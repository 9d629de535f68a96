"""A serving process that is started in the middle of everything."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from contracts.videos import encode_video
from tests.faults.load import Writer, clip
from tests.faults.world import Broker, World, world
from tests.integration.running import eventually

NEVER = threading.Event()


@pytest.fixture
def running(tmp_path: Path, kafka_factory: Callable[[Path], Broker]) -> Iterator[World]:
    broker = kafka_factory(tmp_path)
    with world(tmp_path, broker, HEADRACE_INDEX__SNAPSHOT_EVERY_S="1") as started:
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
