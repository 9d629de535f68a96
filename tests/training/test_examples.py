"""Columns of training are as of the moment, and outcomes are joined to what they came of."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.engine_records import Impression
from contracts.errors import DatasetError
from contracts.events import Event, EventType
from contracts.settings import ModelSettings, Settings
from model_runtime import bundles
from model_runtime.training.examples import Examples, read_examples
from model_runtime.training.layout import About
from model_runtime.training.log import read_log
from model_runtime.training.outcomes import outcomes
from model_runtime.training.replay import Replay, pages
from model_runtime.training.shown import read_shown
from model_runtime.training.stream_state import StreamState
from model_runtime.training.writing import write_log
from tests.training.logs import START_MS, events, videos, written

BUNDLE = bundles.load(ModelSettings())


def a_page(n: int, user: str, at_ms: int, *clips: str) -> Impression:
    return Impression(
        f"r{n}", user, at_ms, "home", "", "", "full", None, clips,
        tuple(range(len(clips))), (1.0,) * len(clips),
    )  # fmt: skip


def some_pages(n: int, people: int, clips: int, seed: int = 1) -> list[Impression]:
    rng = np.random.default_rng(seed)
    return [
        a_page(i, f"u{rng.integers(people)}", START_MS + int(rng.integers(200 * 60_000)),
               *(f"v{c}" for c in rng.permutation(clips)[:3]))
        for i in range(n)
    ]  # fmt: skip


def examples_of(folder: Path, log: list[Event], shown: list[Impression], **more: Any) -> Examples:
    written(folder, videos(12), log, shown)
    return read_examples(folder, read_log(folder), BUNDLE, **more)


@settings(max_examples=8)
@given(st.integers(10, 190), st.randoms(use_true_random=False))
def test_what_happens_at_or_after_a_page_changes_none_of_its_columns(
    tmp_path_factory: pytest.TempPathFactory, cut: int, random: Any
) -> None:
    log, shown = events(200, 5, 12), some_pages(40, 5, 12)
    then_ms = log[cut].timestamp
    later = events(200 - cut, 5, 12, seed=random.randrange(99))
    other = [Event(f"x{i}", e.user_id, e.event_type, then_ms + i, e.video_id, watch_ms=e.watch_ms)
             for i, e in enumerate(later)]  # fmt: skip
    made = tmp_path_factory.mktemp("logs")
    one = examples_of(made / "one", log, shown, stats_every_ms=1)
    two = examples_of(made / "two", log[:cut] + other, shown, stats_every_ms=1)
    before = one.shown.at_ms <= then_ms
    for name, column in one.columns.items():
        np.testing.assert_array_equal(column[before], two.columns[name][before], err_msg=name)


def test_events_folded_in_chunks_give_what_one_after_the_other_gives(tmp_path: Path) -> None:
    log = events(200, 5, 12)
    found = examples_of(tmp_path / "log", log, some_pages(40, 5, 12), stats_every_ms=10**12)
    read = read_log(tmp_path / "log")
    shown = read_shown(tmp_path / "log", read)
    state = StreamState(BUNDLE, shown.users, read.videos, read.published, Settings())
    done = 0
    for page in pages(shown):
        while done < len(read) and read.rows["broker_ms"][done] < shown.at_ms[page.start]:
            state.fold(read.rows[done : done + 1])
            done += 1
        who = int(shown.user[page.start])
        at_ms, surface = int(shown.at_ms[page.start]), shown.surface[page.start]
        columns = state.columns(who, shown.item[page], at_ms, shown.surfaces[surface])
        for name in (
            "affinity_category",
            "affinity_tags",
            "mean_share",
            "session_events",
            "cosine",
        ):
            np.testing.assert_array_equal(found.columns[name][page], columns[name], err_msg=name)
        state.there[who] = True


def test_rates_are_at_most_as_old_as_asked(tmp_path: Path) -> None:
    log = [Event(f"e{i}", f"u{i}", "click", START_MS + i, "v0") for i in range(9)]
    shown = [a_page(i, f"w{i}", START_MS + 100 + i * 1000, "v0") for i in range(5)]
    found = examples_of(tmp_path / "log", [*log, Event("f", "u0", "click", START_MS + 9, "v1")],
                        shown, stats_every_ms=2000)  # fmt: skip
    counted = found.columns["impressions"]
    assert counted[0] == counted[1] == 0
    np.testing.assert_allclose(counted[2:], [2, 2, 4], rtol=1e-3)


def joined(folder: Path, log: list[Event], *shown: Impression, **requests: str) -> Any:
    rest = [Event("other", "other", "click", START_MS, "v9")]
    write_log(folder, About(), videos(12), log + rest, shown,
              request_of=lambda e: requests.get(e.event_id))  # fmt: skip
    read = read_log(folder)
    return outcomes(read, read_shown(folder, read))


def did(n: int, kind: EventType, clip: str = "v0", after_ms: int = 1, **more: Any) -> Event:
    return Event(f"d{n}", "u0", kind, START_MS + after_ms, clip, **more)


def test_each_kind_of_outcome_is_noted_where_it_belongs(tmp_path: Path) -> None:
    log = [
        did(0, "click"), did(1, "watch", watch_ms=19_500, duration_ms=20_000), did(2, "like"),
        did(3, "watch", "v1", watch_ms=3000, duration_ms=20_000), did(4, "skip", "v2"),
        did(5, "not_interested", "v3"), did(6, "watch", "v4", watch_ms=6000, duration_ms=20_000),
    ]  # fmt: skip
    found = joined(tmp_path / "log", log, a_page(0, "u0", START_MS, *(f"v{i}" for i in range(6))))
    assert found.click.tolist() == [True, False, False, False, False, False]
    assert found.complete.tolist() == [True, False, False, False, False, False]
    assert found.like.tolist() == [True, False, False, False, False, False]
    assert found.skip.tolist() == [False, True, True, False, False, False]
    assert found.not_interested.tolist() == [False, False, False, True, False, False]
    assert found.watch_ms.tolist() == [19_500, 3000, -1, -1, 6000, -1]
    np.testing.assert_allclose(found.share, [0.975, 0.15, np.nan, np.nan, 0.3, np.nan], rtol=1e-6)


def test_an_event_belongs_to_the_last_page_before_it_and_not_to_one_long_ago(
    tmp_path: Path,
) -> None:
    shown = [a_page(i, "u0", START_MS + at, "v0") for i, at in enumerate((0, 1000, 9_000_000))]
    log = [did(0, "click", after_ms=1500), did(1, "like", after_ms=8_000_000)]
    found = joined(tmp_path / "log", log, *shown)
    assert found.click.tolist() == [False, True, False]
    assert not found.like.any()


def test_a_known_request_beats_the_clock(tmp_path: Path) -> None:
    shown = [a_page(0, "u0", START_MS, "v0"), a_page(1, "u0", START_MS + 1000, "v0")]
    log = [did(0, "click", after_ms=5000), did(1, "like", after_ms=90_000_000)]
    found = joined(tmp_path / "log", log, *shown, d0="r0", d1="r1")
    assert found.click.tolist() == [True, False]
    assert found.like.tolist() == [False, True]


def test_people_who_did_nothing_and_videos_that_nobody_knows(tmp_path: Path) -> None:
    folder = written(tmp_path / "log", videos(3), events(30, 3, 3),
                     [a_page(0, "nobody", START_MS, "v0", "gone", "v1")])  # fmt: skip
    shown = read_shown(folder, read_log(folder))
    assert (shown.users[shown.user[0]], shown.left_out) == ("nobody", 1)
    assert shown.position.tolist() == [0, 2]


@pytest.mark.parametrize("about", [About(clock="order"), About()])
def test_a_log_without_times_or_without_pages_has_no_examples(tmp_path: Path, about: About) -> None:
    folder = written(tmp_path / "log", videos(5), events(30, 3, 5), about=about)
    with pytest.raises(DatasetError, match=r"has no times|has no impressions"):
        read_examples(folder, read_log(folder), BUNDLE)


def test_a_replay_begins_with_nothing_known(tmp_path: Path) -> None:
    folder = written(tmp_path / "log", videos(5), events(30, 3, 5),
                     [a_page(0, "u0", START_MS - 1, "v0")])  # fmt: skip
    log = read_log(folder)
    shown = read_shown(folder, log)
    state = StreamState(BUNDLE, shown.users, log.videos, log.published, Settings())
    (page,) = pages(shown)
    columns = Replay(state, log, shown, 1000).columns(page)
    for name in ("cosine", "mean_share", "session_events"):
        assert columns[name].tolist() == [0]
