"""The user tower in its parallel form: all events of many people at once.

Rows are events, people end to end. `model_runtime.recurrent_users` has the step form, which gives
the same vectors (a test: to 1e-4), and is what the engine runs.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as fn

from model_runtime import told
from model_runtime.signals import GAPS, SIGNALS
from model_runtime.training.blocks import Norm, block, dropout
from model_runtime.training.cells import CELLS
from model_runtime.training.config import Users
from model_runtime.training.scan import linear_scan


@dataclass(frozen=True, slots=True, eq=False)
class Events:
    """n events, people end to end.

    Attributes:
        items: (n, d) vectors of the videos; zero rows where there is none.
        signals: (n,) int64, what was done and how much of it (`model_runtime.signals`).
        gaps: (n,) int64, bucket of the time since the event before.
        position: (n,) int64, 0 for a person's first.
        longest: events of the person with most.
        context: (n, k) int64 rows of what is told of the moment.
        begins: (b,) events that stand for what people told of themselves; they come first.
        profile: (b, p) int64 rows of what that is.
    """

    items: Tensor
    signals: Tensor
    gaps: Tensor
    position: Tensor
    longest: int
    context: Tensor
    begins: Tensor
    profile: Tensor


class Layer(nn.Module):
    """x + out(scan(cell(conv(values))) * silu(gate)), where values and gate come from norm(x)."""

    def __init__(self, config: Users, taps: int) -> None:
        super().__init__()
        self.width, self.dropout = config.width, config.dropout
        self.norm = Norm(config.inner)
        self.into = nn.Linear(config.inner, 2 * config.width)
        self.conv = nn.Parameter(_first_tap(taps, config.width)) if taps > 1 else None
        self.cell = CELLS[config.cell](config.width, config.heads)
        self.out = nn.Linear(config.width, config.inner)

    def forward(self, x: Tensor, events: Events) -> Tensor:
        values, gate = self.into(self.norm(x)).split(self.width, dim=1)  # (n, w) each
        if self.conv is not None:
            values = short_convolution(values, self.conv, events.position)
        decay, drive = self.cell(values)
        decay = decay * (events.position > 0)[:, None]
        states = linear_scan(decay, drive, events.longest)
        if states.is_complex():
            states = torch.view_as_real(states).flatten(1)
        return x + dropout(self.out(states * fn.silu(gate)), self.dropout, self.training)


class UserTower(nn.Module):
    """Events to unit vectors, one after each event."""

    def __init__(self, config: Users, dim: int) -> None:
        super().__init__()
        self.config = config
        self.item = nn.Linear(dim, config.inner)
        nn.init.normal_(self.item.weight, std=1.0)  # unit vectors in, values of about 1 out
        self.signal_scale = nn.Parameter(torch.zeros(SIGNALS, config.inner))
        self.signal = nn.Parameter(torch.zeros(SIGNALS, config.inner))
        self.gap = nn.Parameter(torch.zeros(GAPS, config.inner))
        self.context = _table(told.rows_needed(told.CONTEXT, config.context), config.inner)
        self.profile = _table(told.rows_needed(told.PROFILE, config.profile), config.inner)
        self.layers = nn.ModuleList(
            Layer(config, config.taps if i == 0 else 1) for i in range(config.layers)
        )
        self.norm, self.block = Norm(config.inner), block(config.block, config.inner)
        self.head = nn.Linear(config.inner, dim)

    def forward(self, events: Events) -> Tensor:
        """(n, d) unit vectors: the viewer after each event."""
        x = self.item(events.items) * (1 + self.signal_scale[events.signals])
        x = x + self.signal[events.signals] + self.gap[events.gaps]
        if self.context is not None:
            x = x + _summed(self.context, events.context)
        if self.profile is not None and len(events.begins):
            x = x.index_copy(0, events.begins, _summed(self.profile, events.profile))
        x = dropout(x, self.config.dropout, self.training)
        for layer in self.layers:
            x = layer(x, events)
        return fn.normalize(self.head(self.block(self.norm(x))), dim=1)


def short_convolution(values: Tensor, taps: Tensor, position: Tensor) -> Tensor:
    """(n, w): each row is mixed, number by number, with the rows of the same person before it.

    Args:
        taps: (k, w) weights; the first is of the row itself.
    """
    mixed = values * taps[0]
    for back in range(1, len(taps)):
        before = fn.pad(values, (0, 0, back, 0))[:-back]
        mixed = mixed + before * taps[back] * (position >= back)[:, None]
    return mixed


def _table(rows: int, inner: int) -> nn.Parameter | None:
    """None of nothing but row 0. Rows begin at zero, so that what is never met says nothing."""
    return nn.Parameter(torch.zeros(rows, inner)) if rows > 1 else None


def _summed(table: Tensor, rows: Tensor) -> Tensor:
    """(n, inner) sums of the (n, k) rows; row 0 says nothing."""
    return fn.embedding_bag(rows, table, mode="sum", padding_idx=0)


def _first_tap(taps: int, width: int) -> Tensor:
    weights = torch.randn(taps, width) * 0.1 / taps
    weights[0] += 1
    return weights
