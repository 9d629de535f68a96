"""A bundle in torch: the modules that are trained, the recurrence a step at a time."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as fn

from bench._runtimes import BUNDLE, EMBEDDING, STORE
from contracts.batch import CandidateBatch
from contracts.models import F32, StepInputs
from contracts.videos import Video
from model_runtime import learned, manifest, ranker_files
from model_runtime.graphs.item_inputs import item_inputs
from model_runtime.ranker_form import PROBABILITIES
from model_runtime.ranker_inputs import Encoder
from model_runtime.signals import gap_buckets, signals
from model_runtime.training.config import Users
from model_runtime.training.ranker_model import RankerModel
from model_runtime.training.user_tower import Layer, UserTower
from model_runtime.watch_time import expected_s


class Torch:
    """Eager, without gradients, one thread."""

    def __init__(self, folder: Path) -> None:
        torch.set_num_threads(1)
        found, files = manifest.read(folder / STORE, BUNDLE)
        towers, users, items = learned.read(found, files)
        self._form = towers.users
        fields = {name: getattr(towers.users, name) for name in towers.users.__struct_fields__}
        self._tower = UserTower(Users(**fields), towers.items.dim).eval()
        self._tower.load_state_dict({name: torch.from_numpy(w) for name, w in users.items()})
        nothing = np.zeros_like(items["own"][:1])  # of a video that is not among them
        self._own = torch.from_numpy(np.concatenate([items["own"], nothing]))
        self._item = {name: torch.from_numpy(w) for name, w in items.items() if name != "own"}
        self._item_form = towers.items
        read = ranker_files.read(found.id, files)
        assert read is not None
        self._load_ranker(*read)

    @torch.inference_mode()
    def users(self, state: F32, inputs: StepInputs) -> tuple[Any, Any]:
        tower, form = self._tower, self._form
        held = torch.from_numpy(state).view(torch.float16)[:, : form.numbers].float()
        which = torch.from_numpy(signals(inputs.actions, inputs.shares))
        gap = torch.from_numpy(gap_buckets(inputs.gaps_s))
        x = tower.item(torch.from_numpy(inputs.items)) * (1 + tower.signal_scale[which])
        x = x + tower.signal[which] + tower.gap[gap]
        sizes = [form.inner, *([form.width] * (form.layers + form.taps - 1))]
        _, *parts = torch.split(held, sizes, dim=1)
        states, past = parts[: form.layers], parts[form.layers :]
        for i, layer in enumerate(tower.layers):
            assert isinstance(layer, Layer)
            x, states[i], past = _stepped(layer, x, states[i], past)
        after = torch.cat([x, *states, *past], dim=1).clamp(-65504, 65504).half()
        seen = after[:, : form.inner].float()
        vectors = fn.normalize(tower.head(tower.block(tower.norm(seen))), dim=1)
        return after.numpy(), vectors.numpy()

    def asking(self, videos: list[Video]) -> Any:
        asked = item_inputs(self._item_form, EMBEDDING, True, videos)
        return {name: torch.from_numpy(array) for name, array in asked.items()}

    @torch.inference_mode()
    def items(self, asked: Any) -> Any:
        w = self._item
        x = fn.embedding_bag(
            asked["tokens"], w["tokens"], mode="sum", per_sample_weights=asked["token_weights"]
        )
        for name in ("duration", "age", "year"):
            x = x + w[name][asked[name]]
        at = torch.searchsorted(w["ids"], asked["id"]).clamp_max(len(w["ids"]) - 1)
        at[w["ids"][at] != asked["id"]] = len(w["ids"])
        x = x + asked["embedding"] @ w["content"] + self._own[at]
        return (fn.normalize(x, dim=1) * x.any(dim=1, keepdim=True)).numpy()

    @torch.inference_mode()
    def ranker(self, batch: CandidateBatch) -> Any:
        z = self._ranker(self._encoder(batch.columns, len(batch))).mean(dim=0)
        p = torch.sigmoid((z * self._scale + self._shift).clamp(-30, 30)).numpy()
        heads: dict[str, Any] = {name: p[:, i] for i, name in enumerate(PROBABILITIES)}
        length_s = batch["duration_ms"].astype(np.float32) / np.float32(1000)
        return heads | {"watch_s": expected_s(self._edges_s, p[:, len(PROBABILITIES) :], length_s)}

    def _load_ranker(self, form: Any, weights: dict[str, Any]) -> None:
        self._encoder = Encoder(form, weights["edges"], weights["keys"])
        rows = len(weights["keys"]) + 1
        self._ranker = RankerModel(form, rows, 1, torch.zeros(form.outputs)).eval()
        with torch.no_grad():
            for name, parameter in self._ranker.weights.items():
                known = {key.replace(".", "_"): w for key, w in weights.items()}
                parameter.copy_(torch.from_numpy(known[name]))
        self._scale, self._shift = (torch.from_numpy(weights[k]) for k in ("scale", "shift"))
        self._edges_s = weights["watch_edges_s"]


def _stepped(
    layer: Layer, x: Tensor, state: Tensor, past: list[Tensor]
) -> tuple[Tensor, Tensor, list[Tensor]]:
    """One event through a layer: the stream, its state and the taps' past after it."""
    values, gate = layer.into(layer.norm(x)).split(layer.width, dim=1)
    if layer.conv is not None:
        mixed = values * layer.conv[0]
        for back, before in enumerate(past, 1):
            mixed = mixed + before * layer.conv[back]
        values, past = mixed, [values, *past[:-1]]
    decay, drive = layer.cell(values)
    after = decay * state + drive
    return x + layer.out(after * fn.silu(gate)), after, past
