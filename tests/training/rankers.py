"""Generated rows of what was shown, and a small trained ranker, for the tests of the ranker."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from contracts.batch import CandidateBatch
from contracts.features import FEATURE_COLUMNS, VIDEO_COLUMNS
from model_runtime.learned_ranker import LearnedRanker
from model_runtime.ranker_form import PROBABILITIES, RankerForm
from model_runtime.ranker_inputs import Encoder
from model_runtime.training.config import Learning, Rank
from model_runtime.training.ranker_model import Place, RankerModel
from model_runtime.training.ranker_result import uncalibrated
from model_runtime.training.ranker_rows import Rows, cut, fit_encoder, watch_edges_s
from model_runtime.training.ranker_targets import Targets
from model_runtime.training.split import moments

torch.set_num_threads(1)  # what is tested is small: a second thread only waits for the first
SMALL = RankerForm(bins=5, embedding=3, rank=4, width=8, members=2, watch_bins=4)
FAST = Learning(epochs=6, rows=256, rate=0.005, average=0.9, patience=6, seen=5)
RANK = Rank(towers="day0", form=SMALL, learning=FAST, fewest=20, trees=False)


class Nobody:
    """Looks on and says nothing."""

    def stage(self, name: str, epochs: int = 0) -> None: ...
    def epoch(self, number: int, steps: int) -> None: ...
    def step(self, loss: float) -> None: ...
    def told(self, row: dict[str, Any]) -> None: ...


def columns(n: int, seed: int = 0) -> dict[str, Any]:
    """Every column of n rows: numbers up to 1, names of eight values, lengths of 10 to 60 s."""
    rng = np.random.default_rng(seed)
    out: dict[str, Any] = {}
    for spec in (*VIDEO_COLUMNS, *FEATURE_COLUMNS):
        shape = (n, *spec.shape)
        whole = spec.dtype.kind != "f" or spec.name.startswith("viewer") or spec.name == "hour"
        out[spec.name] = (
            rng.integers(0, 2 if spec.dtype == np.bool_ else 8, shape)
            if whole
            else rng.random(shape)
        ).astype(spec.dtype)
    out["duration_ms"] = rng.integers(10_000, 60_000, n).astype(np.int32)
    return out


def batch(n: int, seed: int = 0) -> CandidateBatch:
    """n candidates with every column."""
    return CandidateBatch(np.arange(n), np.zeros(n, np.uint32), columns(n, seed))


def a_world(n: int, seed: int = 0, position_bias: float = 0.0) -> Rows:
    """Rows in which a known rule says who clicks, how long is watched, and the rest at random.

    A click depends on `ctr`, on one category at one hour, and on the position if that is asked for.
    """
    rng = np.random.default_rng([seed, 1])  # not the numbers that the columns are drawn with
    of = columns(n, seed)
    position = rng.integers(0, 8, n)
    pair = (of["category"] == 3) & (of["hour"] == 5)
    logit = 4 * of["ctr"] - 2.5 + 3 * pair - position_bias * position
    click = rng.random(n) < 1 / (1 + np.exp(-logit))
    watched = rng.exponential(5 + 20 * of["mean_share"])
    whole = of["duration_ms"] / 1000
    ended = watched >= whole
    labels = np.zeros((n, len(PROBABILITIES)), np.float32)
    labels[:, 0] = click
    labels[:, 1] = ended
    labels[:, 2] = rng.random(n) < 0.05
    labels[:, 3] = watched < 3
    labels[:, 4] = rng.random(n) < 0.002
    seconds = np.minimum(watched, whole).astype(np.float32)
    person = rng.integers(0, max(n // 10, 1), n)
    place = Place(position, np.zeros(n, np.int64))
    item = rng.integers(0, 50, n).astype(np.int32)
    return Rows(of, place, Targets(labels, seconds, ended), person, item)


def thirds(rows: Rows, at_ms: NDArray[np.int64] | None = None) -> tuple[Rows, Rows, Rows]:
    """Seven tenths, and twice the half of what is left, one row after the other unless told."""
    at_ms = np.arange(len(rows)) if at_ms is None else at_ms
    return cut(rows, at_ms, (0, *moments(at_ms, 0.3, 0.15)))


def a_model(
    rows: Rows, form: RankerForm = SMALL, seed: int = 0
) -> tuple[RankerModel, Encoder, Any]:
    """A model that learned nothing: every weight at random, so that none of them hides."""
    torch.manual_seed(seed)
    encoder, edges_s = fit_encoder(rows, form, 5), watch_edges_s(rows, form.watch_bins)
    model = RankerModel(form, len(encoder.keys) + 1, 1, torch.zeros(form.outputs)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.3)
    return model, encoder, edges_s


def a_ranker(form: RankerForm = SMALL, seed: int = 0) -> LearnedRanker:
    """What serves, with the weights of `a_model`."""
    model, encoder, edges_s = a_model(a_world(400), form, seed)
    return LearnedRanker(form, uncalibrated(model, encoder, edges_s))
