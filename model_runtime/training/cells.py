"""What a layer remembers and what it takes in: (values) -> (decay, drive) of a linear recurrence.

A cell sees the value alone, never the state, so that a whole sequence can be scanned at once.
`model_runtime.cells` has the same three in numpy, for one event at a time.
"""

import math
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as fn

from model_runtime.cells import STRENGTH


class Cell(Protocol):
    """(n, w) values to (n, w) decay and drive; complex ones have (n, w / 2)."""

    def __call__(self, values: Tensor) -> tuple[Tensor, Tensor]: ...


class Gates(nn.Module):
    """Block-diagonal linear map, (n, w) -> (n, w): a head's gates look at its own values."""

    def __init__(self, width: int, heads: int, bias: float) -> None:
        super().__init__()
        block = width // heads
        self.weight = nn.Parameter(torch.randn(heads, block, block) / math.sqrt(block))
        self.bias = nn.Parameter(torch.full((width,), bias))

    def forward(self, values: Tensor) -> Tensor:
        heads, block, _ = self.weight.shape
        by_head = values.view(-1, heads, block).transpose(0, 1)  # (heads, n, block)
        mixed = torch.bmm(by_head, self.weight).transpose(0, 1)
        return mixed.reshape(values.shape) + self.bias


class RgLru(nn.Module):
    """Griffin's real-gated unit (De et al. 2024): decay from the input, drive of unit variance."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.forget, self.take = Gates(width, heads, 0.0), Gates(width, heads, 0.0)
        at_half = torch.linspace(0.8, 0.999, width) ** 2  # of a gate that is half open
        self.rate = nn.Parameter(torch.log(torch.expm1(-torch.log(at_half) / STRENGTH)))

    def forward(self, values: Tensor) -> tuple[Tensor, Tensor]:
        rate = -STRENGTH * fn.softplus(self.rate)
        decay = torch.exp(rate * torch.sigmoid(self.forget(values)))
        kept = torch.sqrt(1 - decay * decay + 1e-6)
        return decay, kept * torch.sigmoid(self.take(values)) * values


class MinGru(nn.Module):
    """minGRU (Feng et al. 2024): one gate mixes the old and the new."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.take = Gates(width, heads, -2.0)

    def forward(self, values: Tensor) -> tuple[Tensor, Tensor]:
        take = torch.sigmoid(self.take(values))
        return 1 - take, take * values


class Lru(nn.Module):
    """Linear recurrent unit (Orvieto et al. 2023): a fixed complex decay, pairs of numbers."""

    def __init__(self, width: int, heads: int) -> None:
        del heads
        super().__init__()
        pairs = width // 2
        self.rate = nn.Parameter(torch.log(-torch.log(torch.linspace(0.8, 0.999, pairs))))
        self.angle = nn.Parameter(torch.rand(pairs) * 0.3)

    def forward(self, values: Tensor) -> tuple[Tensor, Tensor]:
        size = torch.exp(-torch.exp(self.rate))
        decay = torch.polar(size, self.angle)
        pairs = torch.view_as_complex(values.view(len(values), -1, 2))
        return decay.expand(len(values), -1), torch.sqrt(1 - size * size) * pairs


CELLS = {"rg_lru": RgLru, "min_gru": MinGru, "lru": Lru}
