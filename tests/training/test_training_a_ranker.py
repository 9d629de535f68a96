"""Training a ranker: what it can learn it learns, what it cannot know it does not pretend to."""

from pathlib import Path

import msgspec
import numpy as np
import pytest
from typer.testing import CliRunner

from contracts.batch import CandidateBatch
from contracts.engine_records import Impression
from contracts.errors import BundleError, ConfigError, DatasetError
from contracts.settings import ModelSettings
from headrace.cli import app
from model_runtime import bundles
from model_runtime.learned_ranker import LearnedRanker
from model_runtime.manifest import read_manifest
from model_runtime.ranker_form import PROBABILITIES
from model_runtime.recurrent_users import RecurrentUsers
from model_runtime.store import Store
from model_runtime.training.config import read
from model_runtime.training.examples import read_examples
from model_runtime.training.log import read_log
from model_runtime.training.ranker_fitting import RankerFitting
from model_runtime.training.ranker_measures import auc, calibration_error
from model_runtime.training.ranker_propensity import looked_at
from model_runtime.training.ranker_result import finished, logits, uncalibrated
from model_runtime.training.ranker_rows import Rows, cut, fit_encoder, rows_of, watch_edges_s
from model_runtime.training.ranker_running import fit
from model_runtime.training.running import train
from model_runtime.training.sequences import sequences
from model_runtime.training.split import moments, split
from tests.training.logs import events, videos, written
from tests.training.rankers import RANK, SMALL, Nobody, a_world, thirds
from tests.training.test_examples import some_pages

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


RANK_TOML = """
[rank]
{rank}
fewest = 20
form = {{bins = 5, embedding = 3, rank = 4, width = 8, members = 2, watch_bins = 4}}
learning = {{epochs = 2, rows = 64, rate = 0.01, seen = 5}}
"""
TOWERS_TOML = """
users = {layers = 1, inner = 16, width = 16}
optimiser = {epochs = 2, tokens = 256, rate = 0.01, average = 0.9}
"""


def a_run(folder: Path, towers: str = "", rank: str = "") -> Path:
    """A log with impressions, and a configuration of a small run on it."""
    if not (folder / "log").exists():
        done = events(400, 8, 12, apart_ms=30_000)  # as long as the pages
        written(folder / "log", videos(12), done, some_pages(160, 8, 12))
    path = folder / "run.toml"
    head = 'name = "r"\nthreads = 1\ndata = {folder = "log", split = "time", kept = 0.3}\n'
    path.write_text(head + towers + RANK_TOML.format(rank=rank))
    return path


def test_one_configuration_trains_towers_and_ranker_into_one_bundle(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["train", str(a_run(tmp_path, TOWERS_TOML))])
    assert result.exit_code == 0, result.output
    assert "LightGBM" in result.output
    assert "NDCG@10" in result.output
    run = tmp_path / "runs" / "r"
    report = msgspec.json.decode((run / "ranker" / "r" / "report.json").read_bytes())
    assert set(report["heads"]) == {*PROBABILITIES, "watch_s"}
    store = run / "bundle"
    bundle = bundles.load(ModelSettings(registry=str(store)), "r")
    assert isinstance(bundle.ranker, LearnedRanker)
    assert isinstance(bundle.users, RecurrentUsers)
    made = read_manifest(Store(store), "r")
    assert made.training["users"]["layers"] == 1
    assert made.training["rank"]["form"]["bins"] == 5
    assert {"test_ndcg", "p_complete.auc"} <= set(made.metrics)
    assert made.data["shown"]["rows"] == sum(report["rows"])


def test_its_ranker_was_trained_on_what_its_towers_make_of_the_log(tmp_path: Path) -> None:
    """The bundle as it serves gives the columns that the ranker's encoder was cut by."""
    train(read(a_run(tmp_path, TOWERS_TOML, "own = 0.3")), tmp_path, Nobody())
    bundle = bundles.load(ModelSettings(registry=str(tmp_path / "runs/r/bundle")), "r")
    assert isinstance(bundle.ranker, LearnedRanker)
    log = read_log(tmp_path / "log")
    examples = read_examples(tmp_path / "log", log, bundle)
    cuts = moments(log.rows["ts_ms"], 0.6, 0.3, 0.15)
    parts = cut(rows_of(examples, RANK), examples.shown.at_ms, cuts)
    encoder = fit_encoder(parts[0], bundle.ranker.form, 5)
    np.testing.assert_array_equal(encoder.edges, bundle.ranker.encode.edges)
    assert examples.columns["cosine"].std() > 0


def test_a_ranker_reads_no_cosine_of_towers_that_know_its_events_by_heart(tmp_path: Path) -> None:
    for rank, read_it in (("", False), ("own = 0.3", True), ('towers = "day0"', True)):
        ranker = read(a_run(tmp_path, TOWERS_TOML, rank)).ranker
        assert ranker is not None
        assert ("cosine" in ranker.form.features) == read_it


def test_the_towers_learned_nothing_of_what_the_ranker_learns_from(tmp_path: Path) -> None:
    a_run(tmp_path)
    log = read_log(tmp_path / "log")
    people = sequences(log)
    parts = split(log, people, "time", 0.3, left=0.3)
    since, kept, test = moments(log.rows["ts_ms"], 0.6, 0.3, 0.15)
    learned = np.arange(len(people.item)) < np.repeat(parts.learned, people.lengths)
    assert people.timestamp_ms[learned].max() < since < kept < test
    assert people.timestamp_ms[parts.test].min() >= test


def test_killed_while_the_ranker_learns_it_goes_on_and_the_towers_are_as_they_were(
    tmp_path: Path,
) -> None:
    whole, cut_off = tmp_path / "whole", tmp_path / "cut"
    for folder in (whole, cut_off):
        folder.mkdir()
    # Patience of one: the towers end before their last epoch, and must not begin another.
    towers = TOWERS_TOML.replace("epochs = 2", "epochs = 9") + "stopping = {patience = 1}\n"
    expected = train(read(a_run(whole, towers)), whole, Nobody())

    class Killed(Nobody):
        at = ""

        def stage(self, name: str, epochs: int = 0) -> None:
            self.at = name

        def epoch(self, number: int, steps: int) -> None:
            if self.at == "ranker" and number == 2:
                raise KeyboardInterrupt

    config = read(a_run(cut_off, towers))
    with pytest.raises(KeyboardInterrupt):
        train(config, cut_off, Killed())
    assert not (cut_off / "runs/r/bundle").exists()
    assert train(config, cut_off, Nobody()).bundle.files == expected.bundle.files


@pytest.mark.parametrize(
    ("pages", "told"),
    [
        ([], "no impressions"),
        (some_pages(160, 8, 12)[:2], "leave nothing to"),
    ],
)
def test_what_the_ranker_lacks_is_told_before_the_towers_learn(
    tmp_path: Path, pages: list[Impression], told: str
) -> None:
    written(tmp_path / "log", videos(12), events(400, 8, 12, apart_ms=30_000), pages)
    with pytest.raises(DatasetError, match=told):
        train(read(a_run(tmp_path, TOWERS_TOML)), tmp_path, Nobody())
    assert not (tmp_path / "runs").exists()


def test_another_ranker_needs_no_other_towers(tmp_path: Path) -> None:
    first = train(read(a_run(tmp_path, TOWERS_TOML)), tmp_path, Nobody())
    store = first.folder / "bundle" / "r"
    config = read(a_run(tmp_path, rank=f'towers = "{store}"\nbias = "none"'))
    made = train(msgspec.structs.replace(config, name="other"), tmp_path, Nobody())
    assert made.bundle.files["users.safetensors"] == first.bundle.files["users.safetensors"]
    assert made.bundle.files["ranker.safetensors"] != first.bundle.files["ranker.safetensors"]
    assert made.bundle.training["users"] == first.bundle.training["users"]
    assert made.bundle.training["rank"]["bias"] == "none"


def test_a_ranker_alone_stands_on_the_built_in_towers(tmp_path: Path) -> None:
    config = read(a_run(tmp_path, rank='towers = "day0"'))
    made = train(config, tmp_path, Nobody())
    bundle = bundles.load(ModelSettings(registry=str(made.folder / "bundle")), "r")
    assert isinstance(bundle.ranker, LearnedRanker)
    assert made.bundle.kind == "day0"
    assert train(config, tmp_path, Nobody()).bundle == made.bundle, "the same again changes nothing"
    with pytest.raises(ConfigError, match="another configuration"):
        train(msgspec.structs.replace(config, seed=1), tmp_path, Nobody())


def test_a_setting_that_is_unknown_or_impossible_is_named(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    head = 'name = "r"\n[data]\nfolder = "log"\n'
    for text, wrong in (
        ("[rank]\nplaec = []", "plaec"),
        ("kept = 2.0", "kept"),
        ('[rank.form]\nnumbers = ["moon_phase"]', "moon_phase"),
        ("refit = true\n[rank]\nown = 0.2", "data.refit"),
        ("kept = 0.5\n[rank]\nown = 0.5", "less than a tenth"),
        ('split = "last"\n[rank]', 'data.split = "time"'),
    ):
        path.write_text(head + text)
        with pytest.raises(ConfigError, match=wrong):
            read(path)
    with pytest.raises(ConfigError, match="No such file"):
        read(tmp_path / "none.toml")


def test_towers_that_are_not_there_are_named(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="elsewhere"):
        train(read(a_run(tmp_path, rank='towers = "elsewhere"')), tmp_path, Nobody())


def _weights(ranker: LearnedRanker) -> dict[str, np.ndarray]:
    return {**ranker.weights, "edges": ranker.encode.edges, "keys": ranker.encode.keys}


def _batch(rows: Rows) -> CandidateBatch:
    return CandidateBatch(np.arange(len(rows)), np.zeros(len(rows), np.uint32), rows.columns)
