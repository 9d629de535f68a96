"""The trained ranker as it serves: laws that hold whatever its weights are."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.batch import CandidateBatch
from contracts.errors import BundleError
from contracts.features import FEATURE_COLUMNS
from contracts.settings import ModelSettings
from model_runtime import bundles, manifest, ranker_files
from model_runtime.learned_ranker import LearnedRanker
from model_runtime.ranker_form import PROBABILITIES, RankerForm
from model_runtime.store import Store
from model_runtime.training.ranker_result import uncalibrated
from model_runtime.training.ranker_running import read_towers, with_ranker
from tests.training.rankers import RANK, SMALL, a_model, a_ranker, a_world, batch

RANKER = a_ranker()
HEADS = [spec.name for spec in RANKER.provides]
BAD = (np.nan, np.inf, -np.inf, 1e30, -1e30)


def same(one: Any, other: Any, rows: Any = slice(None)) -> None:
    for name in HEADS:
        np.testing.assert_array_equal(one[name][rows], other[name])


def test_it_has_the_heads_of_the_engine() -> None:
    day0 = bundles.load(ModelSettings()).ranker
    assert sorted(HEADS) == sorted(spec.name for spec in day0.provides)


@pytest.mark.parametrize("n", [0, 1, 31, 32, 33, 500])
def test_torch_and_numpy_say_the_same(n: int) -> None:
    rows = a_world(400)
    model, encoder, edges_s = a_model(rows, seed=4)
    ranker = LearnedRanker(SMALL, uncalibrated(model, encoder, edges_s))
    encoded = encoder(batch(n, seed=3).columns, n)
    with torch.no_grad():
        there = model(encoded).mean(dim=0).numpy()
    np.testing.assert_allclose(ranker.logits(encoded), there, atol=1e-5, rtol=1e-5)


@settings(max_examples=20)
@given(st.integers(0, 99), st.randoms(use_true_random=False))
def test_a_row_scores_the_same_alone_in_any_order_and_in_any_company(n: int, rnd: Any) -> None:
    all_rows = batch(n)
    order = np.array(rnd.sample(range(n), n), np.intp)
    some = order[: rnd.randint(0, n)]
    scores = RANKER.predict(all_rows)
    same(scores, RANKER.predict(all_rows.take(order)), order)
    same(scores, RANKER.predict(all_rows.take(some)), some)


@given(st.sampled_from([*SMALL.numbers, "hour", "viewer_country"]), st.sampled_from(BAD))
def test_whatever_a_column_holds_every_score_is_finite(name: str, bad: float) -> None:
    rows = batch(5)
    column = rows[name].astype(np.float64)
    column[2] = bad
    if rows[name].dtype.kind == "i":
        column = np.clip(np.nan_to_num(column), -(2**31), 2**31 - 1).astype(rows[name].dtype)
    scores = RANKER.predict(CandidateBatch(rows.ids, rows.sources, {**rows.columns, name: column}))
    for head in HEADS:
        assert np.isfinite(scores[head]).all()
        assert (scores[head] >= 0).all()
    for head in PROBABILITIES:
        assert (scores[head] <= 1).all()


@pytest.mark.parametrize("name", [name for name in SMALL.numbers if name != "duration_ms"])
def test_nothing_said_in_a_column_is_its_default(name: str) -> None:
    spec = next(spec for spec in FEATURE_COLUMNS if spec.name == name)
    rows = batch(4)
    nothing = {**rows.columns, name: np.full(4, np.nan, np.float32)}
    default = {**rows.columns, name: spec.filled(4)}
    same(
        RANKER.predict(CandidateBatch(rows.ids, rows.sources, nothing)),
        RANKER.predict(CandidateBatch(rows.ids, rows.sources, default)),
    )


def test_a_name_that_training_never_saw_weighs_nothing() -> None:
    rows = batch(3)
    unknown = {**rows.columns, "creator": np.full(3, 4_000_000_000, np.uint32)}
    none = {**rows.columns, "creator": np.zeros(3, np.uint32)}
    same(
        RANKER.predict(CandidateBatch(rows.ids, rows.sources, unknown)),
        RANKER.predict(CandidateBatch(rows.ids, rows.sources, none)),
    )


def test_the_time_watched_is_never_longer_than_the_video() -> None:
    rows = batch(200)
    assert (RANKER.predict(rows)["watch_s"] <= rows["duration_ms"] / 1000 + 1e-4).all()


def test_a_column_that_is_not_of_the_feature_list_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="moon_phase"):
        RankerForm(numbers=("ctr", "moon_phase"))
    with pytest.raises(ValueError, match="tags"):
        RankerForm(numbers=("ctr",), crosses=(("tags", "hour"),))


def test_a_column_that_is_missing_is_named() -> None:
    rows = batch(2)
    without = {name: column for name, column in rows.columns.items() if name != "like_rate"}
    with pytest.raises(KeyError, match="like_rate"):
        RANKER.predict(CandidateBatch(rows.ids, rows.sources, without))


def weights() -> dict[str, Any]:
    model, encoder, edges_s = a_model(a_world(400))
    return uncalibrated(model, encoder, edges_s)


@pytest.mark.parametrize("name", sorted(weights()))
def test_a_weight_that_is_missing_or_of_another_shape_is_refused_by_name(name: str) -> None:
    whole = weights()
    less = {k: v for k, v in whole.items() if k != name}
    with pytest.raises(ValueError, match=name):
        LearnedRanker(SMALL, less)
    if name != "keys":  # how many names have a row is free, the tables say
        with pytest.raises(ValueError, match=name):
            LearnedRanker(SMALL, {**whole, name: whole[name][..., :-1]})
    if name not in ("keys", "edges"):
        broken = whole[name].copy()
        broken[..., -1] = np.nan
        with pytest.raises(ValueError, match=name):
            LearnedRanker(SMALL, {**whole, name: broken})


def test_a_bundle_brings_its_ranker_along(tmp_path: Path) -> None:
    whole = weights()
    towers = read_towers("day0", "b", tmp_path)
    made = manifest.put(tmp_path, *with_ranker(*towers, RANK, whole, {}))
    found = bundles.load(ModelSettings(registry=str(tmp_path)), made.id)
    same(found.ranker.predict(batch(40)), LearnedRanker(SMALL, whole).predict(batch(40)))
    assert found.users.dim == towers[0].dim
    assert made.features == SMALL.features


def test_a_bundle_with_half_a_ranker_is_refused() -> None:
    files = ranker_files.to_files(SMALL, weights())
    assert ranker_files.from_files("b", {}) is None
    with pytest.raises(BundleError, match=r"ranker\.json alone"):
        ranker_files.from_files("b", {ranker_files.FORM: files[ranker_files.FORM]})
    with pytest.raises(BundleError, match="cannot be read"):
        ranker_files.from_files("b", files | {ranker_files.WEIGHTS: b"torn"})
    wrong = files | {ranker_files.FORM: files[ranker_files.FORM].replace(b"cosine", b"cosina")}
    with pytest.raises(BundleError, match="cosina"):
        ranker_files.from_files("b", wrong)


def test_a_bundle_of_another_feature_list_is_refused_by_the_name_of_the_feature(
    tmp_path: Path,
) -> None:
    manifest.write(
        tmp_path, "later", "day0", dim=64, hidden=65, features=("ctr", "moon_phase"),
        files=ranker_files.to_files(SMALL, weights()),
    )  # fmt: skip
    with pytest.raises(BundleError, match="moon_phase"):
        bundles.load(ModelSettings(registry=str(tmp_path)), "later")
    assert Store(str(tmp_path)).folders() == ["later"]
