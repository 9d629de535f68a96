"""A run that trains a ranker: one configuration makes one bundle, and a run that was killed goes on."""

from pathlib import Path

import msgspec
import numpy as np
import pytest
from typer.testing import CliRunner

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
from model_runtime.training.ranker_rows import cut, fit_encoder, rows_of
from model_runtime.training.running import train
from model_runtime.training.sequences import sequences
from model_runtime.training.split import moments, split
from tests.training.logs import events, videos, written
from tests.training.rankers import RANK, Nobody
from tests.training.test_examples import some_pages

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
