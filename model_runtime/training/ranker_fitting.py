"""The loop that trains the ranker: steps, an average of the weights, validation, early stopping.

What is random in an epoch is drawn from the run's seed and the epoch's number, so a run that was
killed and goes on from its checkpoint ends as if nothing had happened.
"""

import copy
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from contracts.models import F32
from model_runtime.ranker_form import PROBABILITIES
from model_runtime.ranker_inputs import Encoder
from model_runtime.training.config import Learning, Rank
from model_runtime.training.ranker_model import RankerModel
from model_runtime.training.ranker_propensity import corrected, curves
from model_runtime.training.ranker_rows import Rows
from model_runtime.training.watching import Watch
from model_runtime.watch_time import pieces

_WARM_UP: Final = 50
_VALIDATED: Final = 8192  # rows at once
_HEADS: Final = len(PROBABILITIES)


class RankerFitting:
    """One run, from its settings to the best average of its weights.

    Args:
        checkpoint: a file that is replaced after each epoch; one that is there is gone on from.
    """

    def __init__(
        self, rank: Rank, seed: int, encoder: Encoder, edges_s: F32,
        learned: Rows, validation: Rows, surfaces: int, checkpoint: Path | None = None,
    ) -> None:  # fmt: skip
        torch.manual_seed(seed)
        self._learning, self._seed = rank.learning, seed
        self._encoder, self._edges_s = encoder, edges_s
        self._learned, self._validation, self._checkpoint = learned, validation, checkpoint
        base, self._weigh = _rates(edges_s, learned)
        self._bias, self._curves = rank.bias, _curves(rank, edges_s, learned)
        rows = len(encoder.keys) + 1
        self.model = RankerModel(rank.form, rows, surfaces, base, rank.learning.dropout)
        self.average = copy.deepcopy(self.model).eval()
        self._best = copy.deepcopy(self.average.state_dict())
        self._optimiser = _adamw(self.model, rank.learning)
        self.epochs: list[dict[str, Any]] = []
        self._resume()

    def run(self, watch: Watch) -> RankerModel:
        """Train until the last epoch, or until validation no longer improves; the best average."""
        learning = self._learning
        while len(self.epochs) < learning.epochs and not self._stale():
            number = len(self.epochs) + 1
            watch.epoch(number, self._steps)
            loss = self._epoch(number, watch)
            self.epochs.append({"epoch": number, "loss": loss, "validation": self._validate()})
            if self.epochs[-1] is min(self.epochs, key=_validation):
                self._best = copy.deepcopy(self.average.state_dict())
            self._keep()
            watch.told(self.epochs[-1])
        self.average.load_state_dict(self._best)
        return self.average

    @property
    def _steps(self) -> int:
        return -(-len(self._learned) // self._learning.rows)

    def _stale(self) -> bool:
        if not self.epochs:
            return False
        best = min(self.epochs, key=_validation)["epoch"]
        return bool(len(self.epochs) - best >= self._learning.patience)

    def _epoch(self, number: int, watch: Watch) -> float:
        learning = self._learning
        torch.manual_seed(self._seed * 100_003 + number)
        rng, total = np.random.default_rng([self._seed, number]), 0.0
        self.model.train()
        for step, rows in enumerate(_parts(rng.permutation(len(self._learned)), learning.rows)):
            self._pace((number - 1) * self._steps + step)
            loss = self.loss(self.model, self._learned.take(rows), learning.forget)
            self._optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), 5.0)
            self._optimiser.step()
            self._follow()
            total += loss.item() * len(rows)
            watch.step(loss.item())
        return total / len(self._learned)

    def loss(self, model: RankerModel, rows: Rows, forget: float = 0.0) -> Tensor:
        """Mean over members and rows of every head's log-loss, in units of what its rate alone has."""
        z = model(self._encoder(rows.columns, len(rows)), forget)
        wanted, known = answers(self._edges_s, rows)
        if self._bias == "tower":
            z = z + model.place(rows.place)
        if self._curves is not None:
            wanted = corrected(wanted, rows.place.position, self._curves)
        each = torch.nn.functional.binary_cross_entropy_with_logits(
            z, torch.from_numpy(wanted).expand_as(z), reduction="none"
        )
        return (each.mean(dim=0) * torch.from_numpy(known) * self._weigh).sum(dim=1).mean()

    def _validate(self) -> float:
        with torch.no_grad():
            losses = [
                float(self.loss(self.average, self._validation.take(rows))) * len(rows)
                for rows in _parts(np.arange(len(self._validation)), _VALIDATED)
            ]
        return sum(losses) / len(self._validation)

    def _pace(self, step: int) -> None:
        last = self._learning.epochs * self._steps
        pace = min(1.0, (step + 1) / _WARM_UP) * (1 + math.cos(math.pi * step / last)) / 2
        for group in self._optimiser.param_groups:
            group["lr"] = self._learning.rate * max(pace, 0.02)

    @torch.no_grad()
    def _follow(self) -> None:
        keep = self._learning.average
        for mean, one in zip(self.average.parameters(), self.model.parameters(), strict=True):
            mean.lerp_(one, 1 - keep)

    def _keep(self) -> None:
        if self._checkpoint is None:
            return
        draft = self._checkpoint.with_suffix(".draft")
        state = {
            "model": self.model.state_dict(), "average": self.average.state_dict(),
            "best": self._best, "optimiser": self._optimiser.state_dict(), "epochs": self.epochs,
        }  # fmt: skip
        torch.save(state, draft)
        draft.replace(self._checkpoint)

    def _resume(self) -> None:
        if self._checkpoint is None or not self._checkpoint.exists():
            return
        state = torch.load(self._checkpoint, weights_only=True)
        self.model.load_state_dict(state["model"])
        self.average.load_state_dict(state["average"])
        self._best, self.epochs = state["best"], state["epochs"]
        self._optimiser.load_state_dict(state["optimiser"])


def answers(edges_s: F32, rows: Rows) -> tuple[F32, F32]:
    """(n, outputs) what each logit should say, and whether that is known (1 or 0)."""
    of = rows.targets
    left, known = pieces(edges_s, of.watched_s, of.ended)
    labels = np.concatenate([of.labels, left], axis=1)
    return labels, np.concatenate([np.ones_like(of.labels), known], axis=1)


def _curves(rank: Rank, edges_s: F32, rows: Rows) -> F32 | None:
    """How far down people look, where that is what corrects the place."""
    if rank.bias != "weights":
        return None
    of = rows.targets
    left, _ = pieces(edges_s, of.watched_s, of.ended)
    return curves(of.labels, left, rows, rank.fewest)


def _rates(edges_s: F32, rows: Rows) -> tuple[Tensor, Tensor]:
    """(outputs,) logits of the rates, and weights by which each head's log-loss begins at 1.

    The pieces of the time watched together weigh as much as two heads.
    """
    wanted, known = answers(edges_s, rows)
    sums = known.sum(axis=0)
    p = ((wanted * known).sum(axis=0) + 0.5) / (sums + 2)  # never seen is not never
    entropy = -(p * np.log(p) + (1 - p) * np.log(1 - p)) * sums / max(len(rows), 1)
    weigh = 1 / np.maximum(entropy, 1e-3)
    weigh[_HEADS:] = 2 / max(float(entropy[_HEADS:].sum()), 1e-3)
    return torch.from_numpy(np.log(p / (1 - p))).float(), torch.from_numpy(weigh).float()


def _parts(rows: NDArray[np.intp], size: int) -> Iterator[NDArray[np.intp]]:
    return (rows[a : a + size] for a in range(0, len(rows), size))


def _validation(row: dict[str, Any]) -> float:
    return float(row["validation"])


def _adamw(model: RankerModel, learning: Learning) -> torch.optim.AdamW:
    """Tables decay ten times as fast: a name's few rows must not outweigh what all rows say."""
    tables: list[torch.nn.Parameter] = []
    others: list[torch.nn.Parameter] = []
    for name, parameter in model.named_parameters():
        (tables if name.endswith(("embedding", "wide")) else others).append(parameter)
    decay = learning.weight_decay
    return torch.optim.AdamW(
        [{"params": others, "weight_decay": decay}, {"params": tables, "weight_decay": 10 * decay}],
        lr=learning.rate,
    )
