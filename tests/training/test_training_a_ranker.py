"""Training a ranker: what it can learn it learns, what it cannot know it does not pretend to."""

from pathlib import Path

import msgspec
import numpy as np
import pytest
from typer.testing import CliRunner

from contracts.batch import CandidateBatch
from contracts.errors import BundleError, ConfigError, DatasetError
from contracts.settings import ModelSettings
from headrace.cli import app
from model_runtime import bundles
from model_runtime.learned_ranker import LearnedRanker
from model_runtime.ranker_form import PROBABILITIES
from model_runtime.training.ranker_config import read
from model_runtime.training.ranker_fitting import RankerFitting
from model_runtime.training.ranker_measures import auc, calibration_error
from model_runtime.training.ranker_result import finished, logits, uncalibrated
from model_runtime.training.ranker_rows import Rows, cut, fit_encoder, watch_edges_s
from model_runtime.training.ranker_running import fit, train_ranker
from tests.training.logs import events, videos, written
from tests.training.rankers import CONFIG, SMALL, Nobody, a_world
from tests.training.test_examples import some_pages

CLICK = PROBABILITIES.index("p_click")


def trained(
    rows: Rows, **more: object
) -> tuple[LearnedRanker, LearnedRanker, tuple[Rows, Rows, Rows]]:
    """The ranker before and after calibration, and the parts of the rows."""
    parts = cut(rows, np.arange(len(rows)), 0.3)
    config = msgspec.structs.replace(CONFIG, **more)
    encoder, edges_s = fit_encoder(parts[0], SMALL, 5), watch_edges_s(parts[0], SMALL.watch_bins)
    model = RankerFitting(config, encoder, edges_s, *parts[:2], 1).run(Nobody())
    raw = uncalibrated(model, encoder, edges_s)
    bare = LearnedRanker(SMALL, raw)
    weights = finished(raw, bare, *parts[:2], config.fewest)
    return bare, LearnedRanker(SMALL, weights), parts


def test_it_finds_a_rule_a_cross_and_how_long_is_watched() -> None:
    _, ranker, (_, _, test) = trained(a_world(12_000))
    z = logits(ranker, test)
    click = test.targets.labels[:, CLICK] > 0
    of = test.columns
    pair = (of["category"] == 3) & (of["hour"] == 5)
    best = auc(click, 4 * of["ctr"] + 3 * pair)  # the rule itself
    assert auc(click, z[:, CLICK]) > best - 0.03
    told = np.corrcoef(z[:, len(PROBABILITIES)], of["mean_share"])[0, 1]
    assert told < -0.5  # who watches longer leaves less in the first seconds


def test_what_stands_first_is_not_taken_for_what_is_liked() -> None:
    """The same world, with and without people who click on what is on top, is scored alike."""
    rows = a_world(12_000, position_bias=0.5)
    _, ranker, (_, _, test) = trained(rows)
    z = logits(ranker, test)[:, CLICK]
    assert abs(np.corrcoef(z, test.place.position)[0, 1]) < 0.1
    assert np.corrcoef(z, test.columns["ctr"])[0, 1] > 0.8


def test_calibration_makes_a_head_mean_what_it_says() -> None:
    bare, ranker, (learned, validation, test) = trained(a_world(6000))
    raw = {name: array.copy() for name, array in _weights(bare).items()}
    raw["bias"][CLICK] += 2  # a model that is far too sure
    off = LearnedRanker(SMALL, raw)
    mended = LearnedRanker(SMALL, finished(raw, off, learned, validation, 20))
    click = test.targets.labels[:, CLICK] > 0

    def error(of: LearnedRanker) -> float:
        scale, shift = of.weights["scale"][CLICK], of.weights["shift"][CLICK]
        return calibration_error(
            click, 1 / (1 + np.exp(-(logits(of, test)[:, CLICK] * scale + shift)))
        )

    assert error(off) > 0.2
    assert error(mended) < error(off) / 2
    assert error(mended) == pytest.approx(error(ranker), abs=1e-3)


def test_a_head_with_hardly_any_positives_is_its_stand_in_at_its_own_rate() -> None:
    _, ranker, (learned, validation, test) = trained(a_world(3000))
    heads = ranker.predict(_batch(test))
    refused, skipped = heads["p_not_interested"], heads["p_skip"]
    labels = np.concatenate([p.targets.labels for p in (learned, validation)])
    assert labels[:, PROBABILITIES.index("p_not_interested")].sum() < CONFIG.fewest
    assert (
        np.corrcoef(np.argsort(np.argsort(refused)), np.argsort(np.argsort(skipped)))[0, 1] > 0.999
    )
    assert 0 < refused.mean() < 0.01


def test_a_run_that_was_killed_ends_as_if_nothing_had_happened(tmp_path: Path) -> None:
    parts = cut(a_world(1500), np.arange(1500), 0.3)
    whole, _ = fit(CONFIG, parts, 1, None, Nobody())

    class Killed(Nobody):
        def epoch(self, number: int, steps: int) -> None:
            if number == 4:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(CONFIG, parts, 1, tmp_path, Killed())
    gone_on, report = fit(CONFIG, parts, 1, tmp_path, Nobody())
    assert len(report["epochs"]) == CONFIG.learning.epochs
    for name, array in whole.items():
        np.testing.assert_array_equal(array, gone_on[name])


def test_nothing_of_later_gets_into_what_is_learned() -> None:
    rows = a_world(1000)
    at_ms = np.arange(1000) // 10  # ten rows a moment
    learned, validation, test = cut(rows, at_ms, 0.3)
    sizes = len(learned), len(validation), len(test)
    assert sum(sizes) == 1000
    assert at_ms[sizes[0] - 1] < at_ms[sizes[0]]
    encoder = fit_encoder(learned, SMALL, 5)
    later = rows.take(np.r_[np.arange(sizes[0]), np.full(50, 999)])
    np.testing.assert_array_equal(
        encoder.edges, fit_encoder(later.take(slice(0, sizes[0])), SMALL, 5).edges
    )


def test_a_log_in_which_all_had_the_same_outcome_is_refused() -> None:
    rows = a_world(100)
    rows.targets.labels[:] = 0
    with pytest.raises(DatasetError, match="nothing to tell apart"):
        cut(rows, np.arange(100), 0.3)
    with pytest.raises(DatasetError, match="not enough times"):
        cut(a_world(100), np.zeros(100, np.int64), 0.3)


def test_a_column_that_is_the_same_everywhere_and_a_name_that_is_not_known_do_no_harm() -> None:
    rows = a_world(1500)
    for name in ("cosine", "age_hours", "follows_creator"):
        rows.columns[name][:] = 0
    rows.columns["category"][:] = 0
    rows.targets.watched_s[:] = np.nan  # nothing says how long anything was watched
    _, ranker, (_, _, test) = trained(
        rows, learning=msgspec.structs.replace(CONFIG.learning, epochs=2)
    )
    heads = ranker.predict(_batch(test))
    assert all(np.isfinite(head).all() for head in heads.values())


def test_train_ranker_makes_a_bundle_that_serves(tmp_path: Path) -> None:
    written(tmp_path / "log", videos(12), events(400, 8, 12), some_pages(160, 8, 12))
    config = tmp_path / "ranker.toml"
    config.write_text(
        'name = "r"\nfolder = "log"\nfewest = 20\n'
        "form = {bins = 5, embedding = 3, rank = 4, width = 8, members = 2, watch_bins = 4}\n"
        "learning = {epochs = 2, rows = 64, rate = 0.01, seen = 5}\n"
    )
    result = CliRunner().invoke(app, ["train-ranker", str(config)])
    assert result.exit_code == 0, result.output
    assert "LightGBM" in result.output
    run = tmp_path / "runs" / "r"
    report = msgspec.json.decode((run / "report.json").read_bytes())
    assert set(report["heads"]) == {*PROBABILITIES, "watch_s"}
    bundle = bundles.load(ModelSettings(registry=str(run / "bundle")), "r")
    assert isinstance(bundle.ranker, LearnedRanker)
    with pytest.raises(ConfigError, match="another configuration"):
        train_ranker(msgspec.structs.replace(read(config), seed=1), tmp_path, Nobody())


def test_a_setting_that_is_unknown_or_impossible_is_named(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    for text, wrong in (
        ('name = "r"\nfolder = "log"\nsede = 3', "sede"),
        ('name = "r"\nfolder = "log"\nkept = 2.0', "kept"),
        ('name = "r"\nfolder = "log"\n[form]\nnumbers = ["moon_phase"]', "moon_phase"),
    ):
        path.write_text(text)
        with pytest.raises(ConfigError, match=wrong):
            read(path)
    with pytest.raises(ConfigError, match="No such file"):
        read(tmp_path / "none.toml")


def test_towers_that_are_not_there_are_named(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="elsewhere"):
        train_ranker(msgspec.structs.replace(CONFIG, towers="elsewhere"), tmp_path, Nobody())


def _weights(ranker: LearnedRanker) -> dict[str, np.ndarray]:
    return {**ranker.weights, "edges": ranker.encode.edges, "keys": ranker.encode.keys}


def _batch(rows: Rows) -> CandidateBatch:
    return CandidateBatch(np.arange(len(rows)), np.zeros(len(rows), np.uint32), rows.columns)
