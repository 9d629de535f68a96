"""`headrace train`: from a log to a bundle that serves; killed, it goes on; bad input is told at once."""

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from contracts.errors import ConfigError, DatasetError
from contracts.events import Action, Event, EventType
from contracts.models import StepInputs
from contracts.settings import ModelSettings
from contracts.user_record import new_profiles
from model_runtime import bundles
from model_runtime.training.config import Data, Items, Kind, Loss, Optimiser, Training, Users, read
from model_runtime.training.fitting import rate_share
from model_runtime.training.log import read_log
from model_runtime.training.running import train
from model_runtime.training.sequences import sequences
from model_runtime.training.split import split
from tests.training.logs import START_MS, a_log, events, videos, written

CONFIGS = Path(__file__).parents[2] / "configs"
TOML = """
name = "small"
threads = 1
[data]
folder = "log"
split = "last"
[users]
layers = 2
inner = 16
width = 16
dropout = 0.1
[loss]
kind = "mixed"
[optimiser]
epochs = {epochs}
tokens = 256
warm_up = 10
rate = 0.01
average = 0.9
[stopping]
patience = 100
"""


class Silent:
    def stage(self, name: str, epochs: int = 0) -> None: ...
    def epoch(self, number: int, steps: int) -> None: ...
    def step(self, loss: float) -> None: ...
    def told(self, row: dict[str, Any]) -> None: ...


@pytest.fixture
def log(tmp_path: Path) -> Path:
    a_log(tmp_path / "log", n=3000, people=40, clips=60)
    return tmp_path


def config_in(folder: Path, epochs: int) -> Path:
    path = folder / "small.toml"
    path.write_text(TOML.format(epochs=epochs))
    return path


def rows(folder: Path) -> list[dict[str, Any]]:
    told = json.loads((folder / "runs/small/metrics.json").read_text())["epochs"]
    return [{k: v for k, v in row.items() if k != "seconds"} for row in told]


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.toml")), ids=lambda path: path.stem)
def test_a_configuration_that_ships_is_read_and_is_named_as_its_file(path: Path) -> None:
    assert read(path).name == path.stem


def test_a_run_that_is_killed_ends_as_if_nothing_had_happened(log: Path, tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    whole.mkdir()
    (whole / "log").symlink_to(log / "log")
    train(read(config_in(whole, 6)), whole, Silent())
    killed = subprocess.Popen(
        [sys.executable, "-m", "headrace", "train", str(config_in(log, 6))], stdout=subprocess.PIPE
    )
    while not (log / "runs/small/metrics.json").exists() or len(rows(log)) < 2:
        assert killed.poll() is None, killed.communicate()
        time.sleep(0.01)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert not (log / "runs/small/bundle").exists()
    early = train(read(config_in(log, 6)), log, Silent(), further=False).bundle
    assert early.id.startswith("small-")
    train(read(config_in(log, 6)), log, Silent())
    assert rows(log) == rows(whole)
    weights = "runs/small/bundle/small/users.safetensors"
    assert (log / weights).read_bytes() == (whole / weights).read_bytes()
    assert (log / "runs/small/curves.png").stat().st_size > 1000


def test_the_bundle_steps_to_the_ranks_that_training_measured(log: Path) -> None:
    """Parallel form and step form on the same people, through the bundle as it is served."""
    config = read(config_in(log, 12))
    made = train(config, log, Silent()).bundle
    bundle = bundles.load(ModelSettings(registry=str(log / "runs/small/bundle"), bundle="small"))
    found = read_log(log / "log")
    people = sequences(found)
    parts = split(found, people, "last", 0.2)
    vectors = bundle.items.embed(found.videos)
    hits = []
    for asked in parts.test:
        i = int(np.searchsorted(people.offsets, asked, "right") - 1)
        begins = people.offsets[i]
        state = bundle.users.init(people.profile[[i]], np.zeros((1, bundle.users.dim), np.float32))
        for row in range(begins, asked):
            item = people.item[row]
            shown = vectors[[item]] if item >= 0 else np.zeros((1, bundle.users.dim), np.float32)
            state = bundle.users.step(
                state,
                StepInputs(
                    shown,
                    people.action[[row]],
                    people.share[[row]],
                    people.gap_s[[row]],
                    people.moment[[row]],
                ),
            )
        scores = vectors @ bundle.users.read_out(state)[0]
        target = people.item[asked]
        own = scores[target]
        met = people.item[begins:asked]
        scores[met[met >= 0]] = -np.inf
        scores[target] = -np.inf
        hits.append(float((scores >= own).sum() < 10))
    assert np.mean(hits) == pytest.approx(made.metrics["test_hr"], abs=1.5 / len(hits))
    assert made.training["users"]["layers"] == 2
    assert made.data["people"] == len(people)


def test_a_taste_is_learned(tmp_path: Path) -> None:
    """Everybody likes one category of three and skips the others; a stranger is shown what they like."""
    rng, clips, told = np.random.default_rng(0), videos(60), []
    for i in range(2400):
        user, clip = int(rng.integers(40)), int(rng.integers(60))
        kind: EventType = "like" if user % 3 == clip % 3 else "skip"
        told.append(Event(f"e{i}", f"u{user}", kind, START_MS + i * 60_000, f"v{clip}"))
    written(tmp_path / "log", clips, told)
    train(read(config_in(tmp_path, 40)), tmp_path, Silent())
    store = tmp_path / "runs/small/bundle"
    bundle = bundles.load(ModelSettings(registry=str(store), bundle="small"))
    vectors, n = bundle.items.embed(clips), 30
    for taste in range(3):
        state = bundle.users.init(new_profiles(1), np.zeros((1, 64), np.float32))
        for clip in range(taste, n, 3):
            liked = StepInputs(
                vectors[[clip]], np.array([Action.LIKE], np.uint8),
                np.array([np.nan], np.float32), np.array([60.0], np.float32),
            )  # fmt: skip
            state = bundle.users.step(state, liked)
        best = np.argsort(-(vectors[n:] @ bundle.users.read_out(state)[0]))[:5] + n
        assert (best % 3 == taste).mean() >= 0.8


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("layrs = 3", "layrs"),
        ("layers = 0", "users.layers"),
        ('cell = "lstm"', "users.cell"),
        ("width = 10", "not a multiple of heads"),
    ],
)
def test_a_wrong_setting_is_told_by_its_name(tmp_path: Path, line: str, told: str) -> None:
    path = tmp_path / "c.toml"
    path.write_text(f'name = "x"\n[data]\nfolder = "log"\n[users]\n{line}\n')
    with pytest.raises(ConfigError, match=told):
        read(path)


def test_a_run_of_another_configuration_is_not_overwritten(log: Path) -> None:
    train(read(config_in(log, 1)), log, Silent())
    other = msgspec.structs.replace(read(config_in(log, 1)), seed=7)
    with pytest.raises(ConfigError, match="seed: 0 there, 7 here"):
        train(other, log, Silent())


def test_a_log_of_which_nothing_can_be_kept_back_is_refused(tmp_path: Path) -> None:
    written(tmp_path / "log", videos(5), events(4, 4, 5))
    with pytest.raises(DatasetError, match=r"nothing is left|nothing to learn"):
        train(read(config_in(tmp_path, 1)), tmp_path, Silent())


def test_the_rate_warms_up_holds_and_falls() -> None:
    tuned = Optimiser(warm_up=10, hold=0.5)
    shares = [rate_share(step, step / 100, tuned) for step in range(101)]
    assert shares[0] == pytest.approx(0.1)
    assert shares[9:50] == pytest.approx([1.0] * 41)
    assert shares[50:] == sorted(shares[50:], reverse=True)
    assert shares[100] == pytest.approx(0.02)


def test_nothing_is_learned_from_what_is_kept_back(log: Path) -> None:
    found = read_log(log / "log")
    people = sequences(found)
    for how in ("last", "time"):
        parts = split(found, people, how, 0.3)
        person = np.searchsorted(people.offsets, parts.validation, "right") - 1
        assert (parts.learned[person] <= parts.validation).all()
        assert parts.liked[parts.validation].all()
        assert parts.liked[parts.test].all()
    cut = np.sort(people.timestamp_ms)[int(len(people.item) * 0.7)]
    learned = np.arange(len(people.item)) < np.repeat(parts.learned, people.lengths)
    assert (people.timestamp_ms[learned] < cut).all()
    assert people.timestamp_ms.min() >= START_MS


def test_what_arrives_late_is_learned_from_late_whatever_its_own_clock_says(log: Path) -> None:
    path = log / "log" / "events.parquet"
    table = pq.read_table(path)
    arrived = table["timestamp"].to_numpy().copy()
    arrived[0] = arrived.max() + 1
    pq.write_table(table.append_column("arrived_ms", pa.array(arrived)), path)
    found = read_log(log / "log")
    people = sequences(found)
    parts = split(found, people, "time", 0.3)
    at = int(np.flatnonzero(people.timestamp_ms == START_MS)[0])
    person = int(np.searchsorted(people.offsets, at, "right") - 1)
    assert at == people.offsets[person + 1] - 1, "the last to arrive"
    assert parts.learned[person] <= at


def test_a_run_goes_on_on_the_log_that_it_began_on_and_on_no_other(tmp_path: Path) -> None:
    a_log(tmp_path / "log", n=900, people=20, clips=40)
    train(read(config_in(tmp_path, 1)), tmp_path, Silent())
    shutil.rmtree(tmp_path / "log")
    a_log(tmp_path / "log", n=900, people=20, clips=40, seed=1)
    with pytest.raises(ConfigError, match="another log"):
        train(read(config_in(tmp_path, 1)), tmp_path, Silent())


def test_a_second_training_reads_up_to_the_test_and_no_further(tmp_path: Path) -> None:
    """What came after the validation's beginning changes the second training alone; the test neither."""
    told = events(2000, 30, 40)
    weights = {}
    for name, at in (("as it was", 0), ("validation", 1700), ("test", 1900)):
        place = tmp_path / name
        late = [msgspec.structs.replace(e, video_id="v0", event_type="like") for e in told[at:]]
        written(place / "log", videos(40), [*told[:at], *late] if at else told)
        toml = TOML.format(epochs=2).replace('"last"', '"time"\nrefit = true')
        (place / "small.toml").write_text(toml)
        train(read(place / "small.toml"), place, Silent())
        found = (
            place / "runs/small/bundle" / end / "users.safetensors"
            for end in ("small-validated", "small")
        )
        weights[name] = [path.read_bytes() for path in found]
    first, second = zip(*weights.values(), strict=True)
    assert first[2] == first[0]
    assert second[2] == second[0]
    assert second[1] != second[0]


@pytest.mark.parametrize("kind", ["full", "sampled", "in_batch", "mixed", "bce"])
def test_every_loss_trains(log: Path, kind: Kind) -> None:
    config = Training(
        name=kind, threads=1, data=Data(folder="log"), loss=Loss(kind=kind, negatives=16),
        users=Users(layers=1, inner=16, width=16), items=Items(block="cross"),
        optimiser=Optimiser(epochs=2, tokens=512, rate=0.01),
    )  # fmt: skip
    train(config, log, Silent())
    told = json.loads((log / "runs" / kind / "metrics.json").read_text())["epochs"]
    assert told[1]["loss"] < told[0]["loss"]
