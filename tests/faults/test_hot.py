"""One person who never stops, one video that everybody watches."""

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from contracts.events import Event
from contracts.settings import Settings
from streams.topics import create_topics
from tests.integration.running import Deployment, deployment, eventually
from tests.integration.user_logs import NOW_MS, assert_equal_user_by_user, log_of, with_catalog

pytestmark = pytest.mark.faults


@pytest.fixture
def engine(settings: Settings, tmp_path: Path) -> Iterator[Deployment]:
    create_topics(settings.kafka)
    with deployment(settings, tmp_path) as running:
        yield running


def mixed(hot: list[Event], others: list[Event]) -> list[Event]:
    rng = np.random.default_rng(1)
    places = np.sort(rng.integers(0, len(hot) + 1, len(others)))
    out: list[Event] = []
    for i, event in enumerate(hot):
        out += [others[j] for j in np.flatnonzero(places == i)]
        out.append(event)
    return out + [others[j] for j in np.flatnonzero(places == len(hot))]


def test_a_person_of_a_thousand_events_a_second_holds_nobody_up(engine: Deployment) -> None:
    with_catalog(engine)
    engine.start("user-state")
    hot = [Event(f"h{i}", "hot", "watch_complete", NOW_MS + i, f"v{i % 20}") for i in range(10_000)]
    everybody = mixed(hot, log_of(2000, 300, seed=21))
    ends: dict[str, int] = {}
    for second in range(0, len(everybody), 1200):
        began = time.monotonic()
        ends |= engine.send_events(everybody[second : second + 1200])
        time.sleep(max(1 - (time.monotonic() - began), 0))
    behind_s = eventually(lambda: engine.folded_up_to(ends))
    print(f"the flow was {behind_s:.2f} s behind when the last event was sent")
    assert_equal_user_by_user(engine, everybody)


def test_a_video_that_everybody_watches_is_one_row_and_one_count_a_person(
    engine: Deployment,
) -> None:
    with_catalog(engine)
    engine.start("user-state")
    crowd = [
        Event(f"c{i}", f"u{i % 2000}", "watch_complete", NOW_MS + i, "v0") for i in range(10_000)
    ]
    ends = engine.send_events(crowd)
    eventually(lambda: engine.folded_up_to(ends))
    assert_equal_user_by_user(engine, crowd)
