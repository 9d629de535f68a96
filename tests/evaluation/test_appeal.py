"""What people took to next says how towers, statistics and ranker add up."""

from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
from typer.testing import CliRunner

from contracts.errors import BundleError, DatasetError
from contracts.events import Event
from contracts.settings import ModelSettings, Settings, StatsSettings
from headrace.cli import app
from headrace.lineup import misfit
from model_runtime import bundles, manifest
from model_runtime.appeal import TERMS, Appeal, from_files, to_file
from model_runtime.evaluation.appeal_fitting import fit_appeal
from model_runtime.evaluation.appealing import Appealing
from model_runtime.evaluation.metrics import Found, ndcg
from model_runtime.evaluation.protocols import task_of
from model_runtime.evaluation.ranking import Recommender, rank
from model_runtime.evaluation.towers import Towers
from model_runtime.training.config import Data, Training, read
from model_runtime.training.log import read_log
from model_runtime.training.running import train
from tests.training.logs import START_MS, a_log, events, videos, written
from tests.training.rankers import Nobody

BUNDLE = bundles.load(ModelSettings())
_MINUTE_MS = 60_000


def fashion(n: int, seed: int = 0) -> list[Event]:
    """Everybody takes to the three videos of the hour, whoever they are; nobody twice to one."""
    rng, out = np.random.default_rng(seed), list[Event]()
    for i in range(n):
        hour = i // 60
        video = f"v{(3 * hour + int(rng.integers(3))) % 300}"
        at_ms = START_MS + i * _MINUTE_MS
        out.append(Event(f"e{i}", f"u{rng.integers(200)}", "click", at_ms, video))
    return out


def quality(task: object, recommender: Recommender) -> float:
    recommender.prepare(task.world, task.queries, task.learned)  # type: ignore[attr-defined]
    found = rank(task.world, task.queries, recommender).rank  # type: ignore[attr-defined]
    return float(ndcg(Found.one_each(found), 10).mean())


def test_where_everybody_takes_to_what_trends_that_is_learned_and_finds_more(
    tmp_path: Path,
) -> None:
    log = read_log(written(tmp_path / "log", videos(300), fashion(3000)))
    task = task_of(log, "time", "liked", 0.1)
    learned = fit_appeal(task.world, task.validation[0], BUNDLE, Settings(), None)
    assert learned.weights["trend"] > 0.3
    assert learned.trend_half_life_h == Settings().stats.trend_half_life_h
    bundle = replace(BUNDLE, appeal=learned)
    assert quality(task, Appealing(bundle, Settings())) > 0.3
    assert quality(task, Towers(BUNDLE)) < 0.15


def test_of_too_few_choices_nothing_is_learned(tmp_path: Path) -> None:
    log = read_log(written(tmp_path / "log", videos(300), fashion(200)))
    task = task_of(log, "time", "liked", 0.1)
    with pytest.raises(DatasetError, match="too few"):
        fit_appeal(task.world, task.validation[0], BUNDLE, Settings(), None)


def test_a_row_is_worth_the_same_whatever_stands_beside_it() -> None:
    rng = np.random.default_rng(3)
    columns = {name: rng.random(50).astype(np.float32) for name in TERMS}
    columns["trend"][3] = np.nan
    some = rng.permutation(50)[:20]
    appeal = Appeal({name: float(w) for name, w in zip(TERMS, rng.normal(size=99), strict=False)})
    whole = appeal.score(columns, 50)
    assert np.isfinite(whole).all()
    alone = appeal.score({name: column[some] for name, column in columns.items()}, 20)
    np.testing.assert_array_equal(whole[some], alone)


def test_appeal_is_part_of_a_bundle_and_a_wrong_one_is_refused_by_name(tmp_path: Path) -> None:
    appeal = Appeal({"cosine": 2.0, "trend": 0.5})
    assert from_files("b", to_file(appeal)) == appeal
    assert from_files("b", {}) is None
    for wrong in (b'{"weights": {"cosin": 1}}', b'{"weights": {"cosine": "x"}}', b"{"):
        with pytest.raises(BundleError, match=r"'b': appeal\.json"):
            from_files("b", {"appeal.json": wrong})


@pytest.mark.parametrize(
    ("learned_h", "here_h", "told"), [(1, 1, False), (0, 4, False), (1, 4, True)]
)
def test_an_appeal_that_learned_on_other_trends_is_told_of(
    learned_h: float, here_h: float, told: bool
) -> None:
    bundle = replace(BUNDLE, appeal=Appeal({"trend": 0.5}, trend_half_life_h=learned_h))
    said = misfit(bundle, StatsSettings(trend_half_life_h=here_h))
    assert (said is not None) == told
    assert said is None or "in 1 h, here it does in 4 h" in said
    assert misfit(BUNDLE, StatsSettings(trend_half_life_h=here_h)) is None


TOML = """
name = "small"
threads = 1
{appeal}
[data]
folder = "log"
split = "time"
kept = 0.5
refit = true
[users]
layers = 1
inner = 16
width = 16
[optimiser]
epochs = 2
"""


def test_a_run_that_learns_appeal_makes_one_bundle_of_the_same_towers(tmp_path: Path) -> None:
    a_log(tmp_path / "log", 4000, 60, 100)
    towers = []
    for appeal in ("", "appeal = true"):
        (tmp_path / "small.toml").write_text(TOML.format(appeal=appeal))
        done = CliRunner().invoke(app, ["train", str(tmp_path / "small.toml")])
        assert done.exit_code == 0, done.output
        made = tmp_path / "runs/small/bundle/small"
        towers.append((made / "users.safetensors").read_bytes())
        if not appeal:
            (tmp_path / "small.toml").write_text(TOML.format(appeal="appeal = true"))
            with pytest.raises(BundleError, match="made with another"):
                train(read(tmp_path / "small.toml"), tmp_path, Nobody())
            made.rename(tmp_path / "plain")
    assert towers[0] == towers[1]
    bundle = bundles.build(*manifest.read(made.parent, "small"), ModelSettings())
    assert bundle.appeal is not None
    assert {"cosine", "trend"} <= set(bundle.appeal.features)


def test_appeal_is_learned_on_towers_that_have_not_seen_what_it_learns_from(
    tmp_path: Path,
) -> None:
    """What came at and after the test changes the towers that serve, and the appeal in nothing."""
    told, found = events(4000, 60, 100), []
    for at in (4000, 3000):
        place = tmp_path / str(at)
        late = [msgspec.structs.replace(e, video_id="v0", event_type="like") for e in told[at:]]
        written(place / "log", videos(100), [*told[:at], *late])
        (place / "small.toml").write_text(TOML.format(appeal="appeal = true"))
        assert not CliRunner().invoke(app, ["train", str(place / "small.toml")]).exit_code
        found.append((place / "runs/small/bundle/small/appeal.json").read_bytes())
    assert found[0] == found[1]


def test_appeal_without_times_is_refused_before_the_first_epoch() -> None:
    with pytest.raises(ValueError, match="appeal is learned by time"):
        Training(name="x", data=Data(folder="log", split="last"), appeal=True)
