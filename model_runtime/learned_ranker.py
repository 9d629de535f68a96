"""The trained ranker as it serves: numpy only.

A wide part (a weight a head for each name and cross), and over pieces of numbers and embeddings of
names a low-rank cross network (DCN-v2, Wang et al. 2021) beside several small networks of two hidden
layers, whose logits are averaged. Then each head is calibrated. Where a video was shown (position,
surface) is no input here: that part of a logit stays in training.
"""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from contracts.batch import CandidateBatch, ColumnSpec, f32
from contracts.features import FEATURE_COLUMNS, VIDEO_COLUMNS
from contracts.models import F32
from model_runtime.ranker_form import PROBABILITIES, RankerForm
from model_runtime.ranker_inputs import Encoded, Encoder
from model_runtime.watch_time import expected_s

Weights = Mapping[str, NDArray[Any]]
# Products of this many rows at once, the last ones filled up: the BLAS takes other kernels for other
# sizes, and a row's value must not depend on which rows stand beside it.
TILE: Final = 32
_DEFAULTS: Final = {spec.name: spec for spec in (*VIDEO_COLUMNS, *FEATURE_COLUMNS)}


def shapes(form: RankerForm, rows: int) -> dict[str, tuple[int, ...]]:
    """Shape of every weight; `rows` of the tables, that of nothing included."""
    m, d, o, w, r = form.members, form.inputs, form.outputs, form.width, form.rank
    out: dict[str, tuple[int, ...]] = {
        "embedding": (rows, form.embedding), "wide": (rows, o), "bias": (o,), "from_cross": (d, o),
        "hidden.0": (d, m * w), "hidden.0.bias": (m * w,), "hidden.1": (m, w, w),
        "hidden.1.bias": (m, 1, w), "from_hidden": (m, w, o),
    }  # fmt: skip
    for i in range(form.layers):
        out |= {f"cross.{i}.down": (d, r), f"cross.{i}.up": (r, d), f"cross.{i}.bias": (d,)}
    return out


class LearnedRanker:
    """The heads of a form and its weights.

    Raises:
        ValueError: a weight is missing, has another shape, or is not finite.
    """

    def __init__(self, form: RankerForm, weights: Weights) -> None:
        self.form = form
        self.features = form.features
        self.weights = _checked(form, weights)
        self.encode = Encoder(form, self.weights["edges"], _of(weights, "keys"))
        self._edges_s = self.weights["watch_edges_s"]
        flat = self.weights["from_hidden"].reshape(-1, form.outputs)
        self._from_hidden = flat / np.float32(form.members)  # the members' mean
        priors = self._priors()
        self.provides: tuple[ColumnSpec, ...] = tuple(
            f32(k, float(v[0])) for k, v in priors.items()
        )

    def predict(self, batch: CandidateBatch) -> Mapping[str, NDArray[Any]]:
        """(n,) float32 per head; NaN and infinities in a column count as its default."""
        n = len(batch)
        encoded = self.encode(batch.columns, n)
        z = self.logits(encoded)
        z *= self.weights["scale"]
        z += self.weights["shift"]
        p = 1 / (1 + np.exp(-np.clip(z, -30, 30)))
        k = len(PROBABILITIES)
        heads: dict[str, NDArray[Any]] = {name: p[:, i] for i, name in enumerate(PROBABILITIES)}
        length_s = np.nan_to_num(batch["duration_ms"].astype(np.float32)) / np.float32(1000)
        heads["watch_s"] = expected_s(self._edges_s, p[:, k:], length_s)
        return heads

    def logits(self, encoded: Encoded) -> F32:
        """(n, outputs) before calibration."""
        n, w = len(encoded.tokens), self.weights
        x = self._inputs(encoded)
        z = self._crossed(x) @ w["from_cross"]
        z += self._hidden(x) @ self._from_hidden
        z += w["bias"]
        out: F32 = z.reshape(len(z) * TILE, self.form.outputs)[:n] + w["wide"][encoded.tokens].sum(
            axis=1
        )
        return out

    def _crossed(self, x: F32) -> F32:
        """(tiles, TILE, inputs) x0 * (up(down(x)) + b) + x, layer by layer."""
        w, crossed = self.weights, x
        for i in range(self.form.layers):
            gate: F32 = crossed @ w[f"cross.{i}.down"] @ w[f"cross.{i}.up"]
            gate += w[f"cross.{i}.bias"]
            gate *= x
            gate += crossed
            crossed = gate
        return crossed

    def _hidden(self, x: F32) -> F32:
        """(tiles, TILE, members x width), the members side by side."""
        w, width = self.weights, self.form.width
        first = x @ w["hidden.0"]
        first += w["hidden.0.bias"]
        np.maximum(first, 0, out=first)
        out: F32 = np.empty_like(first)
        for i in range(self.form.members):
            one = slice(i * width, (i + 1) * width)
            out[..., one] = first[..., one] @ w["hidden.1"][i] + w["hidden.1.bias"][i]
        np.maximum(out, 0, out=out)
        return out

    def _inputs(self, encoded: Encoded) -> F32:
        """(tiles, TILE, inputs), the last tile filled up with zeros."""
        n, width = encoded.pieces.shape
        tiles = -(-n // TILE)
        x = np.zeros((tiles * TILE, self.form.inputs), np.float32)
        x[:n, :width] = encoded.pieces
        size = self.form.embedding
        for at, (a, b) in enumerate(self.form.slots):
            vectors = self.weights["embedding"][encoded.tokens[:, a:b]].sum(axis=1) / np.float32(
                b - a
            )
            x[:n, width + at * size : width + (at + 1) * size] = vectors
        return x.reshape(tiles, TILE, self.form.inputs)

    def _priors(self) -> Mapping[str, NDArray[Any]]:
        """What every head says where nothing is known."""
        columns = {name: _DEFAULTS[name].filled(1) for name in self.features}
        nobody = CandidateBatch(np.zeros(1, np.int64), np.zeros(1, np.uint32), columns)
        return self.predict(nobody)


def _of(weights: Weights, name: str) -> NDArray[Any]:
    if name not in weights:
        raise ValueError(f"the ranker lacks the weights {name!r}")
    return weights[name]


def _checked(form: RankerForm, weights: Weights) -> dict[str, NDArray[Any]]:
    k = len(_of(weights, "keys"))
    wanted = shapes(form, k + 1) | {
        "edges": (len(form.numbers), form.bins + 1), "scale": (form.outputs,),
        "shift": (form.outputs,), "watch_edges_s": (form.watch_bins + 1,),
    }  # fmt: skip
    out = {}
    for name, shape in wanted.items():
        array = _of(weights, name)
        if array.shape != shape:
            raise ValueError(f"the ranker's {name!r} is {array.shape}, not {shape}")
        if name != "edges" and not np.isfinite(array).all():
            raise ValueError(f"the ranker's {name!r} holds a value that is not finite")
        out[name] = np.ascontiguousarray(array, np.float32)
    if np.isnan(out["edges"]).any() or not (np.diff(out["watch_edges_s"]) > 0).all():
        raise ValueError("the ranker's edges do not ascend")
    return out
