"""A training sequence is what the stream's tower would have heard, person by person."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.events import ACTION_OF, Event
from contracts.models import StepInputs
from contracts.profiles import Profile
from contracts.settings import ModelSettings, Settings, UserSettings
from contracts.user_record import new_users, user_dtype
from model_runtime import bundles
from model_runtime.training.layout import About
from model_runtime.training.log import read_log
from model_runtime.training.sequences import sequences
from model_runtime.training.stream_state import StreamState
from operators.catalog import Catalog
from operators.derive import derive
from operators.event_columns import EventColumns
from operators.features.history import recent
from operators.user_fold import UserFold
from tests.training.drawn import ALL, drawn_bundle
from tests.training.logs import START_MS, a_log, events, videos, written


def test_every_event_is_there_once_in_each_persons_order(tmp_path: Path) -> None:
    log = read_log(a_log(tmp_path / "log"))
    found = sequences(log)
    assert found.offsets[-1] == len(found.item) == len(log) == 600
    assert sorted(found.row.tolist()) == list(range(len(log)))
    for i in range(len(found)):
        mine = slice(found.offsets[i], found.offsets[i + 1])
        assert (np.diff(found.timestamp_ms[mine]) >= 0).all()
        assert (log.rows["user"][found.row[mine]] == i).all()
        assert found.gap_s[mine][:1].sum() == 0
        passed = np.diff(found.timestamp_ms[mine]) / 1000
        np.testing.assert_allclose(found.gap_s[mine][1:], passed)


def test_a_sequence_is_the_history_that_the_stream_remembers(tmp_path: Path) -> None:
    log = read_log(a_log(tmp_path / "log", n=300, people=12))
    bundle = bundles.load(ModelSettings())
    catalog = Catalog(bundle.items.dim)
    catalog.upsert(log.videos, bundle.items.embed(log.videos), [(0, i) for i in range(30)])
    records = new_users(len(log.users), user_dtype(bundle.users.hidden, bundle.users.dim))
    derive(records, bundle, catalog)
    UserFold(bundle, catalog, UserSettings())(
        records, EventColumns(log.rows.copy(), log.users, {}), {}, 0
    )
    ids = catalog.rows_of  # video hash -> row, which is the video's place in the log
    found = sequences(log)
    for i in range(len(found)):
        past = recent(records[i])
        mine = slice(max(found.offsets[i + 1] - 48, found.offsets[i]), found.offsets[i + 1])
        assert ids(past.ids)[::-1].tolist() == found.item[mine].tolist()
        assert past.actions[::-1].tolist() == found.action[mine].tolist()
        np.testing.assert_array_equal(past.at_s[::-1], found.timestamp_ms[mine] // 1000)
        kept = np.floor(np.clip(found.share[mine] * 100, 0, 250)) / np.float32(100)
        np.testing.assert_array_equal(past.shares[::-1], kept.astype(np.float32))


def test_training_hears_what_the_stream_hears(tmp_path: Path) -> None:
    """Video, action, share, gap, moment and profile: the states are equal to the last bit."""
    told = [
        Profile("u0", country="DE", language="de", age=33, interests=("chess", "travel")),
        Profile("u1", device="tv", subscription="free", created_at=START_MS - 1),
        Profile("u2", interests=("cooking",), created_at=START_MS + 200 * 60_000),  # too late
        Profile("nobody", country="AT"),
    ]
    log = read_log(written(tmp_path / "log", videos(30), told, events(300, 12, 32)))
    drawn_bundle(tmp_path, "drawn", videos(30), ALL)
    bundle = bundles.load(ModelSettings(registry=str(tmp_path), bundle="drawn"))
    state = StreamState(bundle, log.users, log.videos, log.published, Settings())
    for user, name in enumerate(log.users):
        if name in ("u0", "u1"):
            state.tell(user, log.profiles[name])
    state.fold(log.rows[:200])
    state.tell(log.users.index("u2"), log.profiles["u2"])
    state.fold(log.rows[200:])
    heard = sequences(log)
    assert len(np.unique(heard.moment["surface"])) == 3
    vectors = state.catalog.vectors(state.catalog.rows_of(state.ids[heard.item]))
    vectors[state.catalog.rows_of(state.ids[heard.item]) < 0] = 0
    nothing = np.zeros((len(heard), bundle.users.dim), np.float32)
    after = bundle.users.init(heard.profile, nothing)
    assert sorted(np.flatnonzero(after.any(axis=1))) == sorted(map(log.users.index, ("u0", "u1")))
    for i in range(len(heard)):
        for row in range(heard.offsets[i], heard.offsets[i + 1]):
            after[[i]] = bundle.users.step(after[[i]], StepInputs(
                vectors[[row]], heard.action[[row]], heard.share[[row]], heard.gap_s[[row]],
                heard.moment[[row]],
            ))  # fmt: skip
    assert after.tobytes() == state.records["hidden"].tobytes()


def test_where_the_clock_only_orders_no_gap_is_told(tmp_path: Path) -> None:
    folder = written(tmp_path / "log", videos(30), events(200, 5, 30), about=About(clock="order"))
    found = sequences(read_log(folder))
    assert not found.gap_s.any()
    assert not found.moment["ts_ms"].any()
    assert found.moment["device"].any()


def test_what_an_event_does_not_say_the_video_does(tmp_path: Path) -> None:
    log = [
        Event("a", "u1", "watch", START_MS, "v0", watch_ms=10_000),
        Event("b", "u1", "watch_50_percent", START_MS + 1, "v0"),
        Event("c", "u2", "rate", START_MS + 2, "v1", rating=4.0),
        Event("d", "u2", "watch", START_MS + 3, "gone", watch_ms=10),
        Event("e", "u2", "search", START_MS + 4, query="chess"),
        Event("f", "u2", "scroll", START_MS + 5),
    ]
    read = read_log(written(tmp_path / "log", videos(3), log))
    found = sequences(read)
    assert found.share.tolist()[:3] == [0.5, 0.5, np.float32(0.8)]
    assert np.isnan(found.share[3:]).all()
    assert found.item.tolist() == [0, 0, 1, 3, -1]
    assert found.action.tolist() == [
        ACTION_OF[event.event_type] for event in log if event.event_type != "scroll"
    ]
    assert read.videos[3].video_id == "gone"
    assert (read.published, read.queries) == (3, {4: "chess"})


@settings(max_examples=15)
@given(st.permutations(range(40)), st.integers(1, 2))  # most events have to be new
def test_neither_the_order_of_the_file_nor_repeats_change_a_sequence(
    tmp_path_factory: pytest.TempPathFactory, order: list[int], times: int
) -> None:
    log = events(40, 4, 10, seed=3)
    clean = read_log(written(tmp_path_factory.mktemp("a") / "log", videos(10), log))
    mixed = [log[i] for i in order] * times
    other = read_log(written(tmp_path_factory.mktemp("b") / "log", videos(10), mixed))
    assert other.repeated == 40 * (times - 1)
    one, two = sequences(clean), sequences(other)
    for i, user in enumerate(one.users):
        j = two.users.index(user)
        mine, same = (slice(s.offsets[k], s.offsets[k + 1]) for s, k in ((one, i), (two, j)))
        for name in ("item", "action", "share", "gap_s", "timestamp_ms", "moment"):
            np.testing.assert_array_equal(getattr(one, name)[mine], getattr(two, name)[same])
