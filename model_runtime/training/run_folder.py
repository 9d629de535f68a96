"""What a run leaves behind.

<runs>/<name>/config.json       the configuration
<runs>/<name>/data.json         what is learned from: a fingerprint of the log
<runs>/<name>/checkpoint.pt     after the last whole epoch: what a run killed later goes on from
<runs>/<name>/metrics.json      one row an epoch; the test at the end
<runs>/<name>/curves.png        loss and quality over the epochs
<runs>/<name>/ranker/           of the ranker, where there is one (see `ranker_running`)
<runs>/<name>/refit/            the same of a second training on everything before the test
<runs>/<name>/bundle/<name>-validated   with `refit`: the first training's, which saw no validation
<runs>/<name>/bundle/<name>     what serves (`headrace models publish` takes it)
"""

import json
from pathlib import Path
from typing import Any

import msgspec
import torch

from contracts.errors import ConfigError
from model_runtime.training.config import Training


class RunFolder:
    """One run's files; each is replaced whole or not at all.

    Raises:
        ConfigError: the folder holds a run of another configuration.
    """

    def __init__(self, path: Path, config: Training) -> None:
        self.path, self.config = path, config
        # All that towers know of the ranker that will stand on them, which keeps its own account.
        left = {"rank": {"own": config.left_to_ranker}} if config.left_to_ranker else {}
        told = msgspec.to_builtins(config).items()
        same_run(path, {k: v for k, v in told if k not in ("rank", "appeal")} | left)

    @property
    def bundles(self) -> Path:
        """Where the bundle is written."""
        return self.path / "bundle"

    @property
    def again(self) -> "RunFolder":
        """The folder of the same run's second training, on everything before the test."""
        return RunFolder(self.path / "refit", self.config)

    def learns_from(self, data: dict[str, Any]) -> None:
        """Note the log's fingerprint at the beginning.

        Raises:
            ConfigError: the run began on another log.
        """
        known, told = self.path / "data.json", json.dumps(data, indent=1).encode()
        if not known.exists():
            _replace(known, told)
        elif known.read_bytes() != told:
            raise ConfigError(
                f"{self.path} holds a run on another log than {self.config.data.folder} is now: give "
                "this one another name, or remove the folder"
            )

    def checkpoint(self) -> dict[str, Any] | None:
        """The state after the last whole epoch; None at the beginning."""
        path = self.path / "checkpoint.pt"
        if not path.exists():
            return None
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        return state

    def keep(self, checkpoint: dict[str, Any]) -> None:
        """Replace the checkpoint."""
        draft = self.path / "checkpoint.draft"
        torch.save(checkpoint, draft)
        draft.replace(self.path / "checkpoint.pt")

    def tell(self, metrics: dict[str, Any]) -> None:
        """Replace the metrics and the curves."""
        _replace(self.path / "metrics.json", json.dumps(metrics, indent=1).encode())
        draw_curves(metrics["epochs"], self.path / "curves.png")


def same_run(path: Path, config: dict[str, Any]) -> None:
    """Make the folder of a run of these settings, or find it.

    Raises:
        ConfigError: it holds a run of others; the text names the first that differs.
    """
    path.mkdir(parents=True, exist_ok=True)
    known = path / "config.json"
    if not known.exists():
        _replace(known, msgspec.json.format(msgspec.json.encode(config), indent=2))
    elif changed := _changed(
        json.loads(known.read_bytes()), json.loads(msgspec.json.encode(config))
    ):
        raise ConfigError(
            f"{path} holds a run of another configuration ({changed}): give this one another "
            "name, or remove the folder"
        )


def draw_curves(epochs: list[dict[str, Any]], path: Path) -> None:
    """Loss on the left, quality of the validation on the right, as a picture."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.2), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    left.plot([e["epoch"] for e in epochs], [e["loss"] for e in epochs], color="#2b6cb0")
    left.set(xlabel="epoch", title="loss")
    seen = [e for e in epochs if "ndcg" in e]
    for name, color in (("hr", "#2f855a"), ("ndcg", "#c05621")):
        values = [e[name] for e in seen]
        right.plot([e["epoch"] for e in seen], values, ".-", label=f"{name}@10", color=color)
    right.set(xlabel="epoch", title="validation")
    right.legend(frameon=False)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.3)
    figure.savefig(path, dpi=110)


def _replace(path: Path, content: bytes) -> None:
    draft = path.with_suffix(".draft")
    draft.write_bytes(content)
    draft.replace(path)


def _changed(old: Any, new: Any, name: str = "") -> str:
    """The first setting that differs, "" if none does."""
    if not (isinstance(old, dict) and isinstance(new, dict)):
        later = old is None and not new  # a setting that was not there when the run began
        return "" if later or old == new else f"{name}: {old} there, {new} here"
    told = (_changed(old.get(k), new.get(k), f"{name}.{k}".lstrip(".")) for k in {**old, **new})
    return next((one for one in told if one), "")
