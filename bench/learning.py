"""Losses and recurrences on the same data with the same small budget, those that collapse included.

MovieLens-100K (`HEADRACE_DATA`), leave-one-out: each person's last event is predicted among all videos
they had not met, by the average of the weights that validated best on the event before. With 943
people a difference in NDCG@10 of about 0.02 is noise. `us/step` is processor time of one core for one
event of one of 1,000 people, in the form that the engine runs.
"""

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from bench import _towers
from bench._report import Figure, report
from contracts.errors import ConfigError
from contracts.models import StepInputs
from contracts.user_record import new_profiles
from headrace.datasets.names import Name
from headrace.datasets.prepare import prepare
from headrace.environment import read_settings
from model_runtime.forms import UserForm
from model_runtime.training.config import Data, Loss, Optimiser, Stopping, Training, Users
from model_runtime.training.running import train

LOSSES: dict[str, dict[str, Any]] = {
    "full cross-entropy": {"kind": "full"},
    "sampled 256, log-Q": {"kind": "sampled", "negatives": 256},
    "sampled 256 by likes^0.75, log-Q": {"kind": "sampled", "negatives": 256, "popular": 0.75},
    "sampled 256 by likes^0.75": {
        "kind": "sampled", "negatives": 256, "popular": 0.75, "log_q": False,
    },
    "in-batch, log-Q": {"kind": "in_batch"},
    "in-batch": {"kind": "in_batch", "log_q": False},
    "mixed 256, log-Q": {"kind": "mixed", "negatives": 256, "hard": 0},
    "mixed 256, log-Q, 2 hard": {"kind": "mixed", "negatives": 256, "hard": 2},
    "mixed 256": {"kind": "mixed", "negatives": 256, "hard": 0, "log_q": False},
    "BCE, 256 negatives": {"kind": "bce", "negatives": 256},
    "BCE, 1 negative": {"kind": "bce", "negatives": 1},
}  # fmt: skip
RECURRENCES: dict[str, dict[str, Any]] = {
    "rg_lru, 4 x 64": {},
    "min_gru, 4 x 64": {"cell": "min_gru"},
    "lru (complex), 4 x 64": {"cell": "lru"},
    "rg_lru, 2 x 128": {"layers": 2, "width": 128},
    "rg_lru, 2 x 64": {"layers": 2},
    "rg_lru, 4 x 64, no convolution": {"taps": 1},
}


class _Silent:
    def stage(self, name: str, epochs: int = 0) -> None: ...
    def epoch(self, number: int, steps: int) -> None: ...
    def step(self, loss: float) -> None: ...
    def told(self, row: dict[str, Any]) -> None: ...


def trained(name: str, folder: Path, epochs: int, loss: Loss, users: Users) -> dict[str, float]:
    """Test HR@10 and NDCG@10 of one run, and the processor's seconds that it took."""
    config = Training(
        name=name, threads=1, data=Data(folder="log", split="last", positives="any"), loss=loss,
        users=users, optimiser=Optimiser(epochs=epochs, tokens=1024, warm_up=100),
        stopping=Stopping(every=3),
    )  # fmt: skip
    began = time.process_time()
    metrics = dict(train(config, folder, _Silent()).bundle.metrics)
    return metrics | {"cpu_s": time.process_time() - began}


def step_us(form: UserForm, n: int = 1000) -> float:
    """Processor microseconds of a step, a person."""
    rng, tower = np.random.default_rng(0), _towers.users(form)
    vectors = rng.standard_normal((n, 64)).astype(np.float32)
    inputs = StepInputs(
        vectors, np.full(n, 2, np.uint8), rng.random(n).astype(np.float32), np.ones(n, np.float32)
    )
    state, taken = tower.init(new_profiles(n), vectors), []
    for _ in range(30):
        began = time.process_time()
        tower.step(state, inputs)
        taken.append(time.process_time() - began)
    return float(np.median(taken)) / n * 1e6


def main() -> None:
    """Train each, print the table, write it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=18)
    parser.add_argument("--only", default="", help="names that contain this")
    options = parser.parse_args()
    data = read_settings(os.environ).data
    if data is None:
        raise ConfigError("set HEADRACE_DATA to the folder that has ml-100k")
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        prepare(Name.MOVIELENS_100K, data / "ml-100k", folder / "log")
        for i, (name, changes) in enumerate((LOSSES | RECURRENCES).items()):
            if options.only not in name:
                continue
            loss = Loss(**changes) if name in LOSSES else Loss(kind="sampled", negatives=512)
            users = Users(**changes) if name in RECURRENCES else Users(layers=2)
            found = trained(f"run{i}", folder, options.epochs, loss, users)
            print(json.dumps({"name": name, **found}), flush=True)
            figures += [
                Figure(f"{name}: HR@10", found["test_hr"], "", more=True),
                Figure(f"{name}: NDCG@10", found["test_ndcg"], "", more=True),
            ]
            if name in RECURRENCES:
                form = {k: getattr(users, k) for k in UserForm.__struct_fields__}
                spent = step_us(UserForm(**form | {"state": "float32"}))
                figures.append(Figure(f"{name}: step", spent, "us"))
    report("learning", "losses and recurrences", figures, figures[1].what)


if __name__ == "__main__":
    main()
