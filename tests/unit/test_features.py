"""A feature is one place: what the stream folds is what the ranker reads."""

from typing import Any

import numpy as np
import pytest

from contracts.batch import CandidateBatch
from contracts.features import FEATURE_COLUMNS, VIDEO_COLUMNS, VIEWER_COLUMNS
from contracts.ids import pack_language, pack_name
from contracts.settings import ModelSettings
from model_runtime import bundles
from operators.features import FEATURES, FOLDS, Feature
from operators.features.protocol import Asked
from tests.strategies import NOW_MS
from tests.unit.test_user_fold import CATALOG, VIDEOS, clean, watch

IDS = CATALOG.live_ids()
ROWS = CATALOG.rows_of(IDS)
BATCH = CandidateBatch(IDS, np.zeros(len(IDS), np.uint32), CATALOG.columns(ROWS))
GERMAN, TV = pack_language("de"), pack_name("tv")
ASKED = Asked(NOW_MS, GERMAN, TV)


def column(name: str, state: Any, now_ms: int = NOW_MS) -> dict[str, float]:
    feature = next(f for f in FEATURES if f.spec.name == name)
    values = feature.values(state, BATCH, Asked(now_ms, GERMAN, TV)).tolist()
    return dict(zip([CATALOG.video_id(int(r)) for r in ROWS], values, strict=True))


def test_every_declared_column_has_exactly_one_reader() -> None:
    assert sorted(f.spec.name for f in FEATURES) == sorted(c.name for c in VIEWER_COLUMNS)
    assert len(set(FOLDS)) == len(FOLDS)


def test_the_ranker_asks_for_nothing_that_nobody_provides() -> None:
    provided = {c.name for c in (*FEATURE_COLUMNS, *VIDEO_COLUMNS)}
    assert set(bundles.load(ModelSettings()).ranker.features) <= provided


@pytest.mark.parametrize("feature", FEATURES, ids=lambda f: f.spec.name)
def test_a_person_of_whom_nothing_is_known_has_the_declared_default(feature: Feature) -> None:
    if feature.needs_state:
        values = feature.values(None, BATCH, ASKED)
        np.testing.assert_array_equal(values, feature.spec.filled(len(BATCH)))


@pytest.mark.parametrize("feature", FEATURES, ids=lambda f: f.spec.name)
def test_a_column_has_the_declared_type_and_follows_its_rows(feature: Feature) -> None:
    state = clean([watch(v.video_id, NOW_MS + i) for i, v in enumerate(VIDEOS[:5])]).of("ann")
    values = feature.values(state, BATCH, ASKED)
    back = np.arange(len(BATCH))[::-1]
    assert values.dtype == feature.spec.dtype
    np.testing.assert_array_equal(feature.values(state, BATCH.take(back), ASKED), values[back])
    assert len(feature.values(state, BATCH.take(back[:0]), ASKED)) == 0


def test_affinities_are_read_for_what_was_watched_and_nothing_else() -> None:
    state = clean([watch("v0")]).of("ann")
    of = column("affinity_category", state)
    assert of["v0"] == of["v3"] == 2.0
    assert of["v1"] == of["v2"] == 0.0
    assert column("affinity_creator", state)["v3"] == 2.0
    assert column("affinity_tags", state)["v1"] == pytest.approx(0.5)  # "t" of four places


def test_the_surface_is_that_of_the_request_whoever_asks() -> None:
    known = column("surface", clean([watch("v0")]).of("ann"))
    assert len(set(known.values())) == 1
    assert known == column("surface", None)
    assert known["v0"] == np.float32(TV % 65_521) != 0


def test_a_session_that_is_over_counts_no_more() -> None:
    state = clean([watch("v0", NOW_MS), watch("v1", NOW_MS + 60_000)]).of("ann")
    assert column("session_events", state, NOW_MS + 60_000)["v0"] == 2
    assert column("session_minutes", state, NOW_MS + 60_000)["v0"] == 1
    assert column("session_events", state, NOW_MS + 31 * 60_000)["v0"] == 2
    assert column("session_events", state, NOW_MS + 32 * 60_000)["v0"] == 0


def test_the_habit_of_the_hour_is_a_share_of_all_activity() -> None:
    hour = 3_600_000
    state = clean([watch("v0", NOW_MS), watch("v1", NOW_MS), watch("v2", NOW_MS - 5 * hour)]).of(
        "ann"
    )
    now, then = (column("hour_habit", state, t)["v0"] for t in (NOW_MS, NOW_MS - 5 * hour))
    assert now > then > 0
    assert now + then == pytest.approx(1, abs=1e-5)
    assert column("hour_habit", state, NOW_MS + 3 * hour)["v0"] == 0
