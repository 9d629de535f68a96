"""The trained user tower, one event at a time: what the engine runs. No torch.

Products are done in tiles of a fixed number of rows, the last one filled up with zeros: a row then
sees the same sums whatever else is in the batch, so that a batch cut anywhere folds to the same
bytes. (Whole batches would take other kernels of the BLAS for other sizes; one row another still.)
Of the sizes tried 32 is as quick as any: 112 GFLOP/s on one core where 1,024 rows at once have 98.
"""

from itertools import pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from contracts.events import Action
from contracts.models import F32, StepInputs
from model_runtime.blocks import BLOCKS, Map, linear, norm, unit
from model_runtime.cells import CELLS, Remember, Weights
from model_runtime.forms import UserForm
from model_runtime.halves import from_halves, to_halves
from model_runtime.signals import gap_buckets, signals
from model_runtime.told import CONTEXT, PROFILE, rows_needed, rows_of, summed

TILE: Final = 32
_TOGETHER: Final = 256  # people at a time: what a layer works on stays in the second cache


class RecurrentUsers:
    """A stack of gated linear recurrences; the state is laid out as `UserForm.numbers` says."""

    def __init__(self, form: UserForm, weights: Weights) -> None:
        self.form = form
        self.hidden = form.hidden
        self._item = linear(weights, "item")
        self.dim = weights["item.weight"].shape[1]
        self._scale = 1 + weights["signal_scale"]
        self._signal, self._gap = weights["signal"], weights["gap"]
        self.context = form.context
        self._context = _table(weights, "context", rows_needed(CONTEXT, form.context))
        self._profile = _table(weights, "profile", rows_needed(PROFILE, form.profile))
        self._layers = [_Layer(form, weights, i) for i in range(form.layers)]
        self._finish: list[Map] = [
            norm(weights, "norm"), BLOCKS[form.block](weights, "block"), linear(weights, "head"), unit,
        ]  # fmt: skip

    def init(self, profiles: NDArray[Any], interests: F32) -> F32:
        """(n, hidden) states: what was told is like an event before the first, of no action."""
        state = np.zeros((len(interests), self.hidden), np.float32)
        begin = self._told(profiles) if self.form.profile else self._liking(interests)
        told = np.flatnonzero((begin if self.form.profile else interests).any(axis=1))
        if len(told):
            starts = np.array([0, len(told)])
            state[told] = self._stepped(state[told], begin[told], starts)
        return state

    def step(self, state: F32, inputs: StepInputs) -> F32:
        """(n, hidden) states after one event each."""
        return self.steps(state, inputs, np.array([0, len(state)]))

    def steps(self, state: F32, inputs: StepInputs, starts: NDArray[np.intp]) -> F32:
        """(u, hidden) states after rounds of events, of whole prefixes of the people."""
        return self._stepped(state, self._stream(inputs), starts)

    def _stepped(self, state: F32, stream: F32, starts: NDArray[np.intp]) -> F32:
        after = np.array(state, np.float32)
        for a, b in pairwise(starts.tolist()):
            for first in range(a, b, _TOGETHER):
                last = min(first + _TOGETHER, b)
                people = slice(first - a, last - a)
                numbers = _tiled(self._unpacked(after[people]))
                self._round(numbers, _tiled(stream[first:last]))
                numbers = numbers.reshape(-1, self.form.numbers)[: last - first]
                after[people] = self._packed(numbers)
        return after

    def read_out(self, state: F32) -> F32:
        """(n, d) unit vectors, zero rows for people of whom nothing is known."""
        numbers = self._unpacked(state)
        x = _tiled(numbers[:, : self.form.inner])
        for apply in self._finish:
            x = apply(x)
        out = x.reshape(-1, self.dim)[: len(state)]
        out[~numbers.any(axis=1)] = 0
        return out

    def _stream(self, inputs: StepInputs) -> F32:
        """(n, inner) what the first layer sees: nothing of it depends on the state."""
        items = np.nan_to_num(inputs.items, posinf=0.0, neginf=0.0)
        which = signals(inputs.actions, inputs.shares)
        x = self._item(_tiled(items)).reshape(-1, self.form.inner)[: len(items)]
        x *= self._scale[which]
        x += self._signal[which]
        x += self._gap[gap_buckets(inputs.gaps_s)]
        if self.context and inputs.moments is not None:
            x += summed(self._context, rows_of(CONTEXT, self.context, inputs.moments))
        return x

    def _told(self, profiles: NDArray[Any]) -> F32:
        """(n, inner) of what people told of themselves; zero where nothing that training met."""
        return summed(self._profile, rows_of(PROFILE, self.form.profile, profiles))

    def _liking(self, interests: F32) -> F32:
        """(n, inner) of an event of no action about their interests."""
        n = len(interests)
        nothing = np.full(n, np.nan, np.float32)
        return self._stream(
            StepInputs(
                interests, np.full(n, Action.NONE, np.uint8), nothing, np.zeros(n, np.float32)
            )
        )

    def _round(self, numbers: F32, x: F32) -> None:
        """One event each, in place: (tiles, TILE, numbers) states, (tiles, TILE, inner) stream."""
        form = self.form
        at = form.inner
        past = numbers[..., form.inner + form.layers * form.width :]
        for layer in self._layers:
            x = layer(x, numbers[..., at : at + form.width], past)
            at += form.width
        numbers[..., : form.inner] = x

    def _unpacked(self, state: F32) -> F32:
        """(n, numbers) of (n, hidden) words as they are stored."""
        if self.form.state == "float32":
            return state
        numbers = self.form.numbers
        return from_halves(np.ascontiguousarray(state).view(np.uint16)[:, :numbers])

    def _packed(self, numbers: F32) -> F32:
        if self.form.state == "float32":
            return numbers
        halves = to_halves(numbers)
        if halves.shape[1] % 2:
            halves = np.pad(halves, ((0, 0), (0, 1)))
        return halves.view(np.float32)


class _Layer:
    """x + out(cell(conv(values)) * silu(gate)), where values and gate come from norm(x)."""

    def __init__(self, form: UserForm, weights: Weights, number: int) -> None:
        name, width = f"layers.{number}", form.width
        self._norm = norm(weights, f"{name}.norm")
        matrix, bias = weights[f"{name}.into.weight"], weights[f"{name}.into.bias"]
        half = np.float32(0.5)  # silu(x) is x/2 * (tanh(x/2) + 1): the product gives x/2 at once
        self._values = linear({"v.weight": matrix[:width], "v.bias": bias[:width]}, "v")
        self._gate = linear({"g.weight": half * matrix[width:], "g.bias": half * bias[width:]}, "g")
        self._taps = weights.get(f"{name}.conv")
        self._remember: Remember = CELLS[form.cell](weights, f"{name}.cell")
        self._out = linear(weights, f"{name}.out")

    def __call__(self, x: F32, state: F32, past: F32) -> F32:
        """The stream after the layer; `state` and the taps' `past` are moved on, in place."""
        seen = self._norm(x)
        values, half = self._values(seen), self._gate(seen)
        if self._taps is not None:
            values = _convolved(values, self._taps, past)
        after = self._remember(state, values)
        state[...] = after
        opened = np.tanh(half)
        opened += np.float32(1)
        opened *= half
        opened *= after
        y = self._out(opened)
        y += x
        return y


def _table(weights: Weights, name: str, rows: int) -> F32:
    """A table of what is told; its row 0, of what is not, says nothing."""
    if rows == 1:
        return np.zeros((1, 1), np.float32)
    table = np.array(weights[name])
    if len(table) != rows:
        raise ValueError(f"the table of the {name} has {len(table)} rows, its names have {rows}")
    table[0] = 0
    return table


def _convolved(values: F32, taps: F32, past: F32) -> F32:
    """(..., w) values mixed with those before; `past` (..., (k - 1) * w) has the latest first."""
    width = values.shape[-1]
    mixed: F32 = values * taps[0]
    for back in range(1, len(taps)):
        mixed += past[..., (back - 1) * width : back * width] * taps[back]
    past[..., width:] = past[..., :-width].copy()
    past[..., :width] = values
    return mixed


def _tiled(rows: NDArray[Any]) -> F32:
    """(tiles, TILE, k) of (n, k) rows, filled up with zeros; no copy where nothing is to be filled."""
    tiles = -(-len(rows) // TILE)
    if tiles * TILE == len(rows) and rows.flags.c_contiguous and rows.dtype == np.float32:
        return rows.reshape(tiles, TILE, rows.shape[1])
    out = np.zeros((tiles * TILE, rows.shape[1]), np.float32)
    out[: len(rows)] = rows
    return out.reshape(tiles, TILE, rows.shape[1])
