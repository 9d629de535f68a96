"""Every recommender: looks at nothing that comes later, and does what its paper says."""

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import sparse
from sklearn.metrics.pairwise import cosine_similarity

from contracts.events import Event
from contracts.settings import ModelSettings, Settings
from contracts.units import HOUR_MS
from headrace.offline_funnel import OfflineFunnel
from headrace.offline_index import ThroughIndex
from model_runtime import bundles
from model_runtime.appeal import Appeal
from model_runtime.evaluation.appealing import Appealing
from model_runtime.evaluation.baselines.charts import ByLot, Charts
from model_runtime.evaluation.baselines.factors import Als
from model_runtime.evaluation.baselines.neighbours import Ease, ItemKnn
from model_runtime.evaluation.choosing import baselines, best_charts
from model_runtime.evaluation.cold import by_events, new_people
from model_runtime.evaluation.fallback import OrCharts
from model_runtime.evaluation.metrics import Found, ndcg
from model_runtime.evaluation.protocols import Task, task_of
from model_runtime.evaluation.ranking import Recommender, rank
from model_runtime.evaluation.staleness import DELAYS_S, frozen, gaps_s, late_by, staleness
from model_runtime.evaluation.towers import Towers, embedded, vectors_at
from model_runtime.training.log import Log, read_log
from model_runtime.training.stream_state import StreamState
from tests.training.logs import START_MS, events, videos, written

BUNDLE = bundles.load(ModelSettings())
APPEALING = replace(
    BUNDLE, appeal=Appeal({"cosine": 4.0, "trend": 1.0, "affinity_category": 0.5, "p_click": 0.3})
)
ALL: Final[dict[str, Callable[[], Recommender]]] = {
    "random": ByLot,
    "popular": Charts,
    "trending": lambda: Charts(3 * HOUR_MS),
    "item-knn": lambda: ItemKnn(20),
    "ease": lambda: Ease(10.0),
    "als": lambda: Als(2, epochs=10),
    "towers": lambda: Towers(BUNDLE),
    "index": lambda: OrCharts(ThroughIndex(BUNDLE, Settings()), Charts()),
    "funnel": lambda: OfflineFunnel(BUNDLE, Settings()),
    "funnel, by appeal": lambda: OfflineFunnel(APPEALING, Settings()),
    "appeal": lambda: Appealing(APPEALING, Settings()),
    "towers, or charts": lambda: OrCharts(Towers(BUNDLE), Charts()),
}


@pytest.mark.parametrize("name", ALL)
def test_what_happens_at_or_after_a_query_changes_none_of_its_scores(
    name: str, tmp_path: Path
) -> None:
    log, cut = events(1200, 10, 150), 900
    other = [Event(f"x{i}", e.user_id, "like", log[cut].timestamp + i * 1000, e.video_id)
             for i, e in enumerate(events(300, 10, 150, seed=9))]  # fmt: skip
    seen = []
    for folder, told in (("one", log), ("two", log[:cut] + other)):
        task = task_of(
            read_log(written(tmp_path / folder, videos(150), told)), "time", "liked", 0.5
        )
        queries = task.queries.take(task.queries.at_ms <= log[cut].timestamp)
        recommender = ALL[name]()
        recommender.prepare(task.world, task.queries, task.learned)
        seen.append((queries.take(slice(0, -1)), recommender.scores(queries)))
    (a, one), (b, two) = seen
    n = min(len(a), len(b))
    assert n > 30
    assert a.target[:n].tolist() == b.target[:n].tolist()
    np.testing.assert_array_equal(one[:n], two[:n])


@pytest.mark.parametrize(
    "name",
    [
        n
        for n in ALL
        if n not in ("random", "popular", "trending", "funnel", "funnel, by appeal", "appeal")
    ],
)
def test_a_person_is_known_by_the_visible_events_alone(name: str, task: Task) -> None:
    half = task.queries.seeing(task.queries.seen // 2)
    full = task.queries
    recommender = ALL[name]()
    recommender.prepare(task.world, half, task.learned)
    stale = recommender.scores(half.take(slice(0, 60)))
    recommender = ALL[name]()
    recommender.prepare(task.world, full, task.learned)
    assert not np.array_equal(stale, recommender.scores(full.take(slice(0, 60))))


def test_the_towers_step_to_the_very_vector_that_the_stream_stores(log: Log, task: Task) -> None:
    items = embedded(BUNDLE, log.videos, log.published)
    asked, vectors = vectors_at(BUNDLE, task.world, items, task.queries)
    state = StreamState(BUNDLE, log.users, log.videos, log.published, Settings())
    np.testing.assert_array_equal(items, state.catalog.vectors(state.catalog.rows_of(state.ids)))
    done, queries = 0, task.queries
    for i in range(len(queries)):
        state.fold(log.rows[done : queries.rows[i]])
        done = queries.rows[i]
        at = np.searchsorted(asked, (queries.user[i] << 32) | queries.seen[i])
        stored = state.records["vector"][queries.user[i]].astype(np.float32)
        np.testing.assert_array_equal(vectors[at], stored)


def test_charts_count_what_was_taken_to_until_then(task: Task) -> None:
    world, log = task.world, task.world.log
    ever, lately = Charts(), Charts(3 * HOUR_MS)
    for one in (ever, lately):
        one.prepare(world, task.queries, task.learned)
    for start in range(0, len(task.queries), 50):
        some = task.queries.take(slice(start, start + 50))
        a, b = ever.scores(some), lately.scores(some)
        for i, rows in enumerate(some.rows):
            liked = log.liked[:rows]
            item, at = log.item[:rows][liked], log.rows["broker_ms"][:rows][liked]
            total = np.bincount(item, minlength=world.videos)
            assert a[i].tolist() == total.tolist()
            recent = np.bincount(item[at >= some.at_ms[i] - 3 * HOUR_MS], minlength=world.videos)
            assert np.floor(b[i]).tolist() == recent.tolist()
            assert (np.argsort(np.argsort(b[i])) >= 0).all()


def a_matrix() -> sparse.csr_matrix:
    rng = np.random.default_rng(0)
    return sparse.csr_matrix((rng.random((40, 9)) < 0.3).astype(np.float32))


def test_neighbours_are_the_nearest_by_cosine_of_their_audiences() -> None:
    taken = a_matrix()
    near = ItemKnn(3)._learn(taken).toarray()
    full = cosine_similarity(taken.T.toarray())
    np.fill_diagonal(full, 0)
    for j in range(9):
        strongest = np.sort(full[j])[::-1][:3]
        mine = np.sort(near[:, j])[::-1]
        np.testing.assert_allclose(mine[:3], strongest, atol=1e-6)
        assert (mine[3:] == 0).all()


def test_ease_is_the_ridge_of_each_video_on_the_others() -> None:
    taken, l2 = a_matrix(), 5.0
    weights = Ease(l2)._learn(taken)
    x = taken.toarray().astype(float)
    for j in range(9):
        others = np.delete(np.arange(9), j)
        gram = x[:, others].T @ x[:, others] + l2 * np.eye(8)
        expected = np.linalg.solve(gram, x[:, others].T @ x[:, j])
        np.testing.assert_allclose(weights[others, j], expected, atol=1e-4)
        assert weights[j, j] == 0


@pytest.mark.parametrize("name", ["item-knn", "ease", "als"])
def test_who_likes_one_kind_is_recommended_more_of_it(name: str, tmp_path: Path) -> None:
    """Two crowds with a taste each, and a newcomer who has watched one of the first's videos."""
    rng = np.random.default_rng(1)
    log = [
        Event(f"e{u}-{v}", f"u{u}", "like", START_MS + 1000 * (20 * u + n), f"v{v}")
        for u in range(40) for n, v in enumerate(u % 2 + 2 * rng.permutation(10)[:8])
    ]  # fmt: skip
    new = [Event(f"n{v}", "new", "like", START_MS + 10**6 + v, f"v{v}") for v in (2, 4, 6)]
    world_log = read_log(written(tmp_path / "log", videos(20), log + new))
    task = task_of(world_log, "last", "any", 0.1)
    recommender = ALL[name]()
    recommender.prepare(task.world, task.queries, task.learned)
    mine = task.queries.take(task.queries.user == task.world.people.users.index("new"))
    scores = recommender.scores(mine)[0]
    assert scores[4::2].min() > scores[1::2].max()


def test_a_person_of_whom_nothing_is_known_gets_the_charts(task: Task) -> None:
    nobody = task.queries.seeing(np.zeros(len(task.queries), np.int64)).take(slice(0, 40))
    both, charts = OrCharts(Towers(BUNDLE), Charts()), Charts()
    for one in (both, charts):
        one.prepare(task.world, nobody, task.learned)
    np.testing.assert_array_equal(both.scores(nobody), charts.scores(nobody))


def test_whoever_learns_beats_who_does_not(task: Task) -> None:
    """In the generated log people like one category: what reads categories, or people, must see it."""
    quality = {}
    for name in ("random", "item-knn", "ease", "towers"):
        recommender = ALL[name]()
        recommender.prepare(task.world, task.queries, task.learned)
        found = Found.one_each(rank(task.world, task.queries, recommender).rank)
        quality[name] = ndcg(found, 10).mean()
    assert min(quality["item-knn"], quality["ease"], quality["towers"]) > 1.2 * quality["random"]


def test_all_baselines_are_asked_and_their_numbers_are_chosen_beforehand(task: Task) -> None:
    told: list[str] = []
    found = baselines(task, best_charts(task), True, told.append)
    names = [one.name for one in found]
    assert names == [
        "random", "most popular", "trending, 7 days", "trending, 1 day", "trending, 6 hours",
        "trending, 1 hour", "ItemKNN", "EASE", "iALS",
    ]  # fmt: skip
    assert told == ["choosing ItemKNN", "choosing EASE", "choosing iALS"]


def test_a_later_state_knows_no_more_and_a_frozen_one_the_least(task: Task) -> None:
    visible = [late_by(task, delay).visible for delay in DELAYS_S] + [frozen(task).visible]
    assert visible[0].tolist() == task.queries.seen.tolist()
    for one, later in pairwise(visible[:-1]):
        assert (later <= one).all()
    assert (visible[-1] <= visible[0]).all()
    assert (visible[-1] < visible[0]).any()


def test_the_curve_says_which_delays_the_log_cannot_show(task: Task) -> None:
    """Events are a minute apart in the log, so ten seconds change nothing and an hour does."""
    curve = staleness(task, OrCharts(Towers(BUNDLE), Charts()))
    assert [p.label for p in curve.points] == [
        "0 s", "10 s", "1 min", "10 min", "1 h", "1 day", "frozen",
    ]  # fmt: skip
    assert [bool(p.note) for p in curve.points][:2] == [False, True]
    assert curve.changed[0] == curve.changed[1] == 0
    assert curve.changed[4] > 0.5
    assert not curve.met  # the log is a day long: nobody had a state a day late
    assert not curve.lost


def test_a_state_that_is_late_misses_a_change_of_mind(tmp_path: Path) -> None:
    """Everybody likes one category, and half-way another: who does not hear of it recommends the old."""
    rng = np.random.default_rng(0)
    orders = [rng.permutation(60) for _ in range(10)]
    log = [
        Event(f"e{n}-{u}", f"u{u}", "like", START_MS + (n * 10 + u) * HOUR_MS,
              f"v{3 * orders[u][n] + (u + (n >= 20)) % 3}")
        for n in range(40) for u in range(10)
    ]  # fmt: skip
    task = task_of(read_log(written(tmp_path / "log", videos(180), log)), "time", "liked", 0.5)
    curve = staleness(task, OrCharts(Towers(BUNDLE), Charts()))
    assert curve.met[0].queries > 100
    assert curve.points[0].ndcg.low > curve.points[-1].ndcg.high
    assert curve.lost[-1].high < 0


def test_gaps_are_to_the_persons_event_before(task: Task) -> None:
    gaps, first = gaps_s(task)
    world, queries, by_hand = task.world, task.queries, []
    for user, at in zip(queries.user, queries.at_ms, strict=True):
        mine = world.arrived_ms[world.people.offsets[user] : world.people.offsets[user + 1]]
        before = mine[mine < at]
        if len(before):
            by_hand.append((at - before.max()) / 1000)
    assert gaps["50"] == pytest.approx(np.percentile(by_hand, 50))
    assert first == pytest.approx(1 - len(by_hand) / len(queries))


def test_the_cold_curve_is_of_people_without_a_past(tmp_path: Path) -> None:
    log = events(900, 10, 30)
    new = [Event(f"n{i}", f"new{i % 40}", "like", log[800].timestamp + i * 500, f"v{i % 30}")
           for i in range(400)]  # fmt: skip
    task = task_of(read_log(written(tmp_path / "log", videos(30), log + new)), "time", "liked", 0.4)
    fresh = new_people(task)
    names = np.array(task.world.people.users)[task.queries.user]
    assert fresh.tolist() == [name.startswith("new") for name in names]
    answers = rank(task.world, task.queries, _prepared(task, ByLot()))
    points = by_events(task, answers)
    assert [p.label for p in points][:3] == ["0", "1", "2"]
    assert sum(p.queries for p in points) <= fresh.sum()
    assert points[0].queries == int((fresh & (task.queries.seen == 0)).sum())


def _prepared(task: Task, recommender: Recommender) -> Recommender:
    recommender.prepare(task.world, task.queries, task.learned)
    return recommender


def test_learned_is_what_the_baselines_learn_from(task: Task) -> None:
    nothing: NDArray[np.bool_] = np.zeros_like(task.learned)
    for make in (lambda: ItemKnn(20), lambda: Ease(10.0)):
        model = make()
        model.prepare(task.world, task.queries, nothing)
        assert not model.scores(task.queries.take(slice(0, 20))).any()


def test_what_the_index_finds_is_where_the_exact_search_has_it(task: Task) -> None:
    exact, through = Towers(BUNDLE), ThroughIndex(BUNDLE, Settings())
    answers = []
    for recommender in (exact, through):
        behind = OrCharts(recommender, Charts())
        behind.prepare(task.world, task.queries, task.learned)
        answers.append(rank(task.world, task.queries, behind).rank)
    assert (answers[0] == answers[1]).mean() > 0.97  # equal vectors are a tie that the index breaks
