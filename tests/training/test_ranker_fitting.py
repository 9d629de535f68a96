"""Fitting a ranker to rows: what it can learn it learns, what it cannot know it does not pretend to."""

from pathlib import Path

import msgspec
import numpy as np
import pytest

from contracts.batch import CandidateBatch
from contracts.errors import DatasetError
from model_runtime.learned_ranker import LearnedRanker
from model_runtime.ranker_form import PROBABILITIES
from model_runtime.training.ranker_fitting import RankerFitting
from model_runtime.training.ranker_measures import auc, calibration_error
from model_runtime.training.ranker_propensity import looked_at
from model_runtime.training.ranker_result import finished, logits, uncalibrated
from model_runtime.training.ranker_rows import Rows, fit_encoder, watch_edges_s
from model_runtime.training.ranker_running import fit
from tests.training.rankers import RANK, SMALL, Nobody, a_world, thirds

CLICK = PROBABILITIES.index("p_click")


def trained(
    rows: Rows, **more: object
) -> tuple[LearnedRanker, LearnedRanker, tuple[Rows, Rows, Rows]]:
    """The ranker before and after calibration, and the parts of the rows."""
    parts = thirds(rows)
    rank = msgspec.structs.replace(RANK, **more)
    encoder, edges_s = fit_encoder(parts[0], SMALL, 5), watch_edges_s(parts[0], SMALL.watch_bins)
    model = RankerFitting(rank, 0, encoder, edges_s, *parts[:2], 1).run(Nobody())
    raw = uncalibrated(model, encoder, edges_s)
    bare = LearnedRanker(SMALL, raw)
    weights = finished(raw, bare, *parts[:2], rank.fewest)
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


def a_sorted_world(n: int) -> tuple[Rows, np.ndarray]:
    """What was on top was what one column says, and fewer look the farther down: the column itself is
    nothing to anybody. Also how many look at each of the 8 positions.
    """
    rows, rng = a_world(n), np.random.default_rng(3)
    rate = rng.random(50)
    rows.columns["ctr"][:] = rate[rows.item]  # of the video, as the click's only reason
    sorted_by = rows.columns["affinity_tags"]
    spread = np.argsort(np.argsort(sorted_by + 0.3 * rng.random(n)))
    rows.place.position[:] = 7 - spread * 8 // n
    looked = 1 / (1 + np.arange(8)) ** 0.8
    wants = rng.random(n) < 0.1 + 0.7 * rows.columns["ctr"]
    rows.targets.labels[:, CLICK] = wants & (rng.random(n) < looked[rows.place.position])
    return rows, looked


def test_how_far_people_look_is_read_off_the_log() -> None:
    rows, looked = a_sorted_world(20_000)
    found = looked_at(rows.targets.labels[:, CLICK] > 0, rows.item, rows.place.position)
    np.testing.assert_allclose(found[:8], looked, atol=0.06)
    assert (found[8:] == 1).all()  # nothing was shown there


def test_with_weights_the_effect_of_the_position_is_gone() -> None:
    """What was sorted to the top looks liked to a ranker that does not know; who is right is known."""
    rows, _ = a_sorted_world(20_000)

    def slope(bias: str) -> float:
        """Of the click's log-odds over the column that the page was sorted by, others alike."""
        _, ranker, (_, _, test) = trained(rows, bias=bias)
        z = logits(ranker, test)[:, CLICK]
        of = np.stack([test.columns["affinity_tags"], test.columns["ctr"], np.ones(len(z))], axis=1)
        return float(np.linalg.lstsq(of, z, rcond=None)[0][0])

    uncorrected = slope("none")
    assert uncorrected > 1
    assert abs(slope("weights")) < uncorrected / 4


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
    assert labels[:, PROBABILITIES.index("p_not_interested")].sum() < RANK.fewest
    assert (
        np.corrcoef(np.argsort(np.argsort(refused)), np.argsort(np.argsort(skipped)))[0, 1] > 0.999
    )
    assert 0 < refused.mean() < 0.01


def test_a_run_that_was_killed_ends_as_if_nothing_had_happened(tmp_path: Path) -> None:
    parts = thirds(a_world(1500))
    whole, _ = fit(RANK, 0, parts, 1, None, Nobody())

    class Killed(Nobody):
        def epoch(self, number: int, steps: int) -> None:
            if number == 4:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(RANK, 0, parts, 1, tmp_path, Killed())
    gone_on, report = fit(RANK, 0, parts, 1, tmp_path, Nobody())
    assert len(report["epochs"]) == RANK.learning.epochs
    for name, array in whole.items():
        np.testing.assert_array_equal(array, gone_on[name])


def test_nothing_of_later_gets_into_what_is_learned() -> None:
    rows = a_world(1000)
    at_ms = np.arange(1000) // 10  # ten rows a moment
    learned, validation, test = thirds(rows, at_ms)
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
        thirds(rows)
    with pytest.raises(DatasetError, match="not enough times"):
        thirds(a_world(100), np.zeros(100, np.int64))


def test_a_column_that_is_the_same_everywhere_and_a_name_that_is_not_known_do_no_harm() -> None:
    rows = a_world(1500)
    for name in ("cosine", "age_hours", "follows_creator"):
        rows.columns[name][:] = 0
    rows.columns["category"][:] = 0
    rows.targets.watched_s[:] = np.nan  # nothing says how long anything was watched
    _, ranker, (_, _, test) = trained(
        rows, learning=msgspec.structs.replace(RANK.learning, epochs=2)
    )
    heads = ranker.predict(_batch(test))
    assert all(np.isfinite(head).all() for head in heads.values())


def _weights(ranker: LearnedRanker) -> dict[str, np.ndarray]:
    return {**ranker.weights, "edges": ranker.encode.edges, "keys": ranker.encode.keys}


def _batch(rows: Rows) -> CandidateBatch:
    return CandidateBatch(np.arange(len(rows)), np.zeros(len(rows), np.uint32), rows.columns)
