"""The ranker in torch: the same sums as `model_runtime.learned_ranker`, and what only training has.

Only training has the place of what was shown: a weight a head for each position and each surface is
added to the logits (the shallow tower of Zhao et al. 2019), so that what stands first is not taken for
what is liked. Serving leaves it out.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from model_runtime.learned_ranker import shapes
from model_runtime.ranker_form import RankerForm
from model_runtime.ranker_inputs import Encoded

POSITIONS: Final = 64  # those farther down are as the last


@dataclass(frozen=True, slots=True, eq=False)
class Place:
    """Where each of n videos was shown: (n,) int64 position and surface."""

    position: NDArray[np.int64]
    surface: NDArray[np.int64]


class RankerModel(nn.Module):
    """The heads, and the weights of the place.

    Args:
        rows: of the tables, that of nothing included.
        surfaces: how many there are.
        base: (outputs,) logits to begin with: those of the rates.
    """

    def __init__(
        self, form: RankerForm, rows: int, surfaces: int, base: Tensor, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.form, self._dropout = form, dropout
        self.weights = nn.ParameterDict({
            name.replace(".", "_"): nn.Parameter(_start(name, shape))
            for name, shape in shapes(form, rows).items()
        })  # fmt: skip
        self.weights["bias"].data[:] = base
        self.position = nn.Parameter(torch.zeros(POSITIONS, form.outputs))
        self.surface = nn.Parameter(torch.zeros(surfaces, form.outputs))
        real = torch.ones(rows, 1)
        real[0] = 0  # nothing weighs nothing
        self.register_buffer("_real", real, persistent=False)

    def exported(self) -> dict[str, NDArray[np.float32]]:
        """The weights under the names that serving knows."""
        real = self.get_buffer("_real")
        out = {}
        for name in shapes(self.form, len(real)):
            array = self._w(name).detach()
            table = name in ("embedding", "wide")
            out[name] = (array * real if table else array).cpu().numpy().astype(np.float32)
        return out

    def place(self, where: Place) -> Tensor:
        """(n, outputs) what the place adds."""
        position = torch.from_numpy(np.clip(where.position, 0, POSITIONS - 1))
        return self.position[position] + self.surface[torch.from_numpy(where.surface)]

    def forward(self, encoded: Encoded, forget: float = 0.0) -> Tensor:
        """(members, n, outputs) logits without a place."""
        tokens = torch.from_numpy(encoded.tokens.astype(np.int64))
        if forget:
            tokens = tokens * (torch.rand(tokens.shape) >= forget)
        x = self._inputs(encoded, tokens)
        crossed = x
        for i in range(self.form.layers):
            gate = crossed @ self._w(f"cross.{i}.down") @ self._w(f"cross.{i}.up")
            crossed = x * (gate + self._w(f"cross.{i}.bias")) + crossed
        shared = crossed @ self._w("from_cross") + self._w("bias")
        shared = shared + self._table("wide", tokens).sum(dim=1)
        return self._hidden(x) @ self._w("from_hidden") + shared

    def _hidden(self, x: Tensor) -> Tensor:
        """(members, n, width)."""
        form, drop = self.form, nn.functional.dropout
        first = drop(
            torch.relu(x @ self._w("hidden.0") + self._w("hidden.0.bias")),
            self._dropout,
            self.training,
        )
        first = first.view(-1, form.members, form.width).transpose(0, 1)
        second = torch.baddbmm(self._w("hidden.1.bias"), first, self._w("hidden.1"))
        return drop(torch.relu(second), self._dropout, self.training)

    def _inputs(self, encoded: Encoded, tokens: Tensor) -> Tensor:
        parts = [torch.from_numpy(encoded.pieces)]
        for a, b in self.form.slots:
            parts.append(self._table("embedding", tokens[:, a:b]).mean(dim=1))
        return torch.cat(parts, dim=1)

    def _table(self, name: str, tokens: Tensor) -> Tensor:
        # embedding() adds its gradient up by row; the product keeps row 0 at nothing
        rows: Tensor = nn.functional.embedding(tokens, self._w(name))
        return rows * (tokens > 0)[..., None]

    def _w(self, name: str) -> Tensor:
        weight: Tensor = self.weights[name.replace(".", "_")]
        return weight


def _start(name: str, shape: tuple[int, ...]) -> Tensor:
    """Matrices as He et al.; what leads out, and what is added, starts at nothing."""
    size = 0.0
    if name.startswith("hidden") and not name.endswith("bias"):
        size = (2 / shape[-2]) ** 0.5
    elif name.startswith("cross") and not name.endswith("bias"):
        size = shape[0] ** -0.5
    elif name == "embedding":
        size = 0.1
    elif name.startswith("from"):
        size = 0.1 * shape[-2] ** -0.5
    start: Tensor = torch.randn(shape) * size
    return start
