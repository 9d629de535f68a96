"""The loop: steps, an average of the weights, validation, early stopping, a checkpoint an epoch.

Whatever is random in an epoch is drawn from the run's seed and the epoch's number, so a run that was
killed and goes on from its checkpoint ends as if nothing had happened.
"""

import copy
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from contracts.errors import ConfigError
from contracts.videos import Video
from model_runtime.training.batches import Windows
from model_runtime.training.config import Optimiser, Training
from model_runtime.training.measuring import quality
from model_runtime.training.model import TwoTower
from model_runtime.training.negatives import Negatives
from model_runtime.training.run_folder import RunFolder
from model_runtime.training.split import Split
from model_runtime.training.watching import Watch


@dataclass(slots=True)
class Progress:
    """Where a run stands; what a checkpoint holds beside the weights.

    Attributes:
        epochs: one row of metrics for each that is done.
        best: NDCG@10 of the best validation, and its epoch.
    """

    step: int
    epochs: list[dict[str, Any]]
    best: tuple[float, int]

    @property
    def done(self) -> int:
        """Whole epochs."""
        return len(self.epochs)


class Fitting:
    """One run from its configuration to the best average of its weights."""

    def __init__(
        self, config: Training, split: Split, videos: Sequence[Video], folder: RunFolder
    ) -> None:
        torch.manual_seed(config.seed)
        self._config, self._split, self._folder = config, split, folder
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        self.model = TwoTower(config, videos, split.met).to(self._device)
        self.average = copy.deepcopy(self.model)
        self._best = copy.deepcopy(self.model.state_dict())
        self._optimiser = _adamw(self.model, config.optimiser)
        tuned = config.optimiser
        hard = config.loss.hard if config.loss.kind == "mixed" else 0
        self._windows = Windows(split, config.users, tuned.window, tuned.tokens, hard)
        self._negatives = Negatives(config.loss, _likes(split))
        self.progress = Progress(0, [], (-1.0, 0))
        self._resume()

    def run_blind(self, watch: Watch, epochs: int) -> None:
        """Train for so many epochs of the same schedule, whatever validation would say of them."""
        while self.progress.done < epochs:
            row = self._epoch(self.progress.done + 1, watch)
            self.progress.epochs.append(row)
            self._folder.keep(self._state())
            watch.told(row)

    def run(self, watch: Watch) -> Progress:
        """Train until the last epoch, or until validation no longer improves."""
        stopping = self._config.stopping
        while self.progress.done < self._config.optimiser.epochs and not self._stale():
            row = self._epoch(self.progress.done + 1, watch)
            if row["epoch"] % stopping.every == 0 or row["epoch"] == self._config.optimiser.epochs:
                self._validate(row)
            self.progress.epochs.append(row)
            self._folder.keep(self._state())
            self._folder.tell({"epochs": self.progress.epochs, "best": self.progress.best})
            watch.told(row)
        return self.best()

    def _stale(self) -> bool:
        """Whether enough validations brought nothing; a run that goes on from there is done too."""
        stopping = self._config.stopping
        return self.progress.done - self.progress.best[1] >= stopping.every * stopping.patience

    def best(self) -> Progress:
        """Where the run stands; `average` becomes what validated best.

        Raises:
            ConfigError: nothing was validated yet.
        """
        if not self.progress.best[1]:
            raise ConfigError(f"{self._folder.path}: no epoch of this run was validated yet")
        self.average.load_state_dict(self._best)
        return self.progress

    def _epoch(self, number: int, watch: Watch) -> dict[str, Any]:
        began, rng = time.monotonic(), np.random.default_rng([self._config.seed, number])
        torch.manual_seed(self._config.seed * 1_000_003 + number)
        parts = self._windows.epoch(rng)
        steps, total, count = len(parts), 0.0, 0
        watch.epoch(number, steps)
        self.model.train()
        for starts, ends in parts:
            batch = self._windows.batch(starts, ends, rng)
            if len(batch.at):
                self._set_rate(steps)
                loss = self._step(self.model.loss(batch, self._negatives.draw(batch, rng)))
                total, count = total + loss * len(batch.at), count + len(batch.at)
                watch.step(loss)
        temperature = float(self.model.log_temperature.detach().exp())
        return {
            "epoch": number, "steps": self.progress.step, "loss": total / max(count, 1),
            "temperature": temperature, "seconds": time.monotonic() - began,
        }  # fmt: skip

    def _step(self, loss: torch.Tensor) -> float:
        value = float(loss.detach())
        if not math.isfinite(value):
            raise ConfigError(
                f"the loss is {value} at step {self.progress.step}: try a lower optimiser.rate "
                f"than {self._config.optimiser.rate}, or a higher loss.temperature"
            )
        self._optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self._config.optimiser.clip)
        self._optimiser.step()
        self.progress.step += 1
        step = self.progress.step
        kept = min(self._config.optimiser.average, step / (step + 9))  # the start is soon forgotten
        with torch.no_grad():
            torch._foreach_lerp_(
                list(self.average.parameters()), list(self.model.parameters()), 1 - kept
            )
        return value

    def _set_rate(self, steps_an_epoch: int) -> None:
        tuned = self._config.optimiser
        share = self.progress.step / (tuned.epochs * steps_an_epoch)
        for group in self._optimiser.param_groups:
            group["lr"] = tuned.rate * rate_share(self.progress.step, share, tuned)

    def _validate(self, row: dict[str, Any]) -> None:
        found = quality(self.average, self._split.sequences, self._split.validation)
        row |= {"hr": found.hr, "ndcg": found.ndcg}
        if found.ndcg > self.progress.best[0]:
            self.progress.best = (found.ndcg, row["epoch"])
            self._best = copy.deepcopy(self.average.state_dict())

    def _state(self) -> dict[str, Any]:
        p = self.progress
        return {
            "model": self.model.state_dict(), "average": self.average.state_dict(),
            "best": self._best, "optimiser": self._optimiser.state_dict(),
            "step": p.step, "epochs": p.epochs, "best_at": list(p.best),
        }  # fmt: skip

    def _resume(self) -> None:
        state = self._folder.checkpoint()
        if state is None:
            return
        try:
            self.model.load_state_dict(state["model"])
        except RuntimeError as e:
            raise ConfigError(f"{self._folder.path} holds a run on another log: {e}") from None
        self.average.load_state_dict(state["average"])
        self._optimiser.load_state_dict(state["optimiser"])
        self._best = state["best"]
        self.progress = Progress(state["step"], state["epochs"], tuple(state["best_at"]))


def rate_share(step: int, share: float, tuned: Optimiser) -> float:
    """Of the full rate: a linear warm-up, then full until `hold` of all steps, then half a cosine.

    Args:
        share: of all steps that are done.
    """
    warm = min(1.0, (step + 1) / max(tuned.warm_up, 1))
    falling = max(0.0, min(1.0, (share - tuned.hold) / (1 - tuned.hold)))
    return warm * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * falling)))


def _adamw(model: TwoTower, tuned: Optimiser) -> torch.optim.AdamW:
    """Vectors (biases, norms, decays) and the temperature are not drawn to zero."""
    matrices = [p for p in model.parameters() if p.ndim > 1]
    vectors = [p for p in model.parameters() if p.ndim <= 1]
    groups = [
        {"params": matrices, "weight_decay": tuned.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=tuned.rate, betas=(0.9, 0.98))


def _likes(split: Split) -> np.ndarray:
    s = split.sequences
    learned = np.arange(len(s.item)) < np.repeat(split.learned, s.lengths)
    return np.bincount(s.item[learned & split.liked], minlength=s.videos)
