"""On real logs the parallel form, told by the batches of training, is the step form of the stream."""

import os
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch

from contracts.models import F32, StepInputs
from headrace.datasets.names import Name
from headrace.datasets.prepare import prepare
from model_runtime.recurrent_users import RecurrentUsers
from model_runtime.training.batches import Hearing
from model_runtime.training.log import read_log
from model_runtime.training.sequences import Sequences, sequences
from model_runtime.training.user_tower import Events, UserTower
from tests.training.drawn import ALL, DIM, drawn, stepped

FOLDERS = {
    Name.MOVIELENS_100K: "ml-100k", Name.MOVIELENS_1M: "ml-1m", Name.KUAIRAND: "kuairand-pure",
}  # fmt: skip
PEOPLE = 150


def some_people(people: Sequences) -> np.ndarray:
    """Evenly chosen, and those with most events."""
    most = np.argsort(-people.lengths, kind="stable")[:10]
    even = np.linspace(0, len(people) - 1, PEOPLE - 10).astype(np.int64)
    return np.union1d(most, even)


def in_parallel(tower: UserTower, people: Sequences, who: np.ndarray, vectors: F32) -> F32:
    """(n, d) after each event of these people, end to end."""
    starts, ends = people.offsets[who], people.offsets[who + 1]
    _, heard = Hearing(people, tower.config)(starts, ends)
    tensors = {k: torch.from_numpy(v) for k, v in heard.items() if k != "longest"}
    with torch.no_grad():
        out = tower(Events(
            torch.from_numpy(vectors[heard["item"]]), tensors["signal"], tensors["gap"],
            tensors["position"], heard["longest"], tensors["context"], tensors["begins"],
            tensors["profile"],
        ))  # fmt: skip
    return np.delete(out.numpy(), heard["begins"], axis=0)


def step_by_step(tower: RecurrentUsers, people: Sequences, who: np.ndarray, vectors: F32) -> F32:
    """The same, an event a person at a time."""
    begins = np.r_[0, np.cumsum(people.lengths[who])]
    out = np.zeros((begins[-1], DIM), np.float32)
    nothing = np.zeros((len(who), DIM), np.float32)
    state = tower.init(people.profile[who], nothing)
    for step in range(int(people.lengths[who].max())):
        active = np.flatnonzero(people.lengths[who] > step)
        row = people.offsets[who[active]] + step
        state[active] = tower.step(state[active], StepInputs(
            vectors[people.item[row]], people.action[row], people.share[row], people.gap_s[row],
            people.moment[row],
        ))  # fmt: skip
        out[begins[active] + step] = tower.read_out(state[active])
    return out


@pytest.mark.parametrize("name", FOLDERS)
def test_both_forms_agree_on_real_sequences(name: Name, tmp_path: Path) -> None:
    folder = Path(os.environ.get("HEADRACE_DATA", "")) / FOLDERS[name]
    if "HEADRACE_DATA" not in os.environ or not folder.is_dir():
        pytest.skip(f"HEADRACE_DATA names no folder that holds {FOLDERS[name]}")
    prepare(name, folder, tmp_path / "log")
    log = read_log(tmp_path / "log")
    people, rng = sequences(log), np.random.default_rng(0)
    vectors = rng.standard_normal((people.videos + 1, DIM)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors[-1] = 0  # item -1: none
    config = msgspec.structs.replace(ALL, state="float32")
    tower, who = drawn(config), some_people(people)
    parallel = in_parallel(tower, people, who, vectors)
    found = step_by_step(stepped(config, tower), people, who, vectors)
    assert len(found) > 1000
    if people.clock == "ms":  # what an order of events cannot tell is not told
        assert len(np.unique(people.moment["ts_ms"])) > 1
    assert np.abs(found - parallel).max() < 1e-4
