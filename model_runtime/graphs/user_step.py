"""The user tower's step as a graph: state and one event each, to the state after and a vector."""

from collections.abc import Mapping
from typing import Final

import numpy as np
from onnx import ModelProto

from contracts.events import Action
from contracts.models import F32
from model_runtime.forms import UserForm
from model_runtime.graphs.graph import Graph, Value
from model_runtime.graphs.layers import BLOCKS, CELLS, linear, norm, silu, some, unit
from model_runtime.graphs.taken import Taken
from model_runtime.signals import GAPS, SHARES
from model_runtime.told import CONTEXT, PROFILE, rows_needed

NAME: Final = "user_step"
BEGIN: Final = "user_begin"
_LARGEST_HALF: Final = np.float32(65504)
_ZERO: Final = np.float32(0)


def user_step(form: UserForm, weights: Mapping[str, F32], about: dict[str, str]) -> ModelProto:
    """The graph of `RecurrentUsers.step` and `read_out`.

    Inputs are `state` (n, numbers) in the precision in which a record holds it, and the fields of
    `StepInputs` under their names, `context` (n, k) as rows of its table (`told.rows_of`) where the form
    names any; outputs are `next_state`, as `state`, and `vector` (n, d). Whoever did nothing and told
    nothing has a state of zeros; see `user_begin` for what they told. Where the form names nothing of a
    profile, interests are a first event of no action.

    Raises:
        BundleError: the tower has weights that the graph has no place for.
        KeyError: it lacks one.
    """
    w, g = Taken(weights), Graph(NAME)
    state = g.input("state", _held(form), form.numbers).cast(np.float32)
    _finish(form, w, _after(form, w, state, _stream(form, w, g)))
    w.all_of(NAME, besides=("profile",))
    return g.model(about)


def user_begin(form: UserForm, weights: Mapping[str, F32], about: dict[str, str]) -> ModelProto:
    """The graph of `RecurrentUsers.init` for a form that reads a profile: what people told of themselves.

    Input is `profile` (n, k), rows of its table (`told.rows_of`); outputs are as of `user_step`. It is
    meant for those who told something: without any row that training met there is no state to begin with.

    Raises:
        KeyError: the tower lacks a weight.
    """
    w, g = Taken(weights), Graph(BEGIN)
    x = _told(w, g, "profile", rows_needed(PROFILE, form.profile))
    nothing = x.columns(0, 1) * _ZERO @ np.zeros((1, form.numbers), np.float32)
    _finish(form, w, _after(form, w, nothing, x))
    return g.model(about)


def _held(form: UserForm) -> type[np.floating]:
    return np.float16 if form.state == "float16" else np.float32


def _finish(form: UserForm, w: Taken, numbers: Value) -> None:
    """The outputs: the state as a record holds it, and the vector that is read out of it."""
    g, dim = numbers.graph, w["item.weight"].shape[1]
    after = _rounded(numbers, _held(form))
    x = norm(w, "norm", after.cast(np.float32).columns(0, form.inner))
    vector = unit(linear(w, "head", BLOCKS[form.block](w, "block", x)))
    g.output("next_state", after, _held(form), form.numbers)
    g.output("vector", vector * some(after.cast(np.float32)), np.float32, dim)


def _stream(form: UserForm, w: Taken, g: Graph) -> Value:
    """(n, inner) what the first layer sees of the event."""
    items = g.input("items", np.float32, w["item.weight"].shape[1])
    which = _signals(g.input("actions", np.uint8), g.input("shares", np.float32))
    gap = _gap_buckets(g.input("gaps_s", np.float32))
    x = linear(w, "item", g("Where", items.finite(), items, _ZERO))
    x = x * g("Gather", 1 + w["signal_scale"], which)
    x = x + g("Gather", w["signal"], which) + g("Gather", w["gap"], gap)
    if form.context:
        x = x + _told(w, g, "context", rows_needed(CONTEXT, form.context))
    return x


def _told(w: Taken, g: Graph, name: str, rows: int) -> Value:
    """(n, inner) sums of rows of a table of what is told; row 0 says nothing."""
    table = np.array(w[name])
    if len(table) != rows:
        raise ValueError(f"the table of the {name} has {len(table)} rows, its names have {rows}")
    table[0] = 0
    return g("Gather", table, g.input(name, np.int64, "k")).summed(1)


def _signals(actions: Value, shares: Value) -> Value:
    """`model_runtime.signals.signals`."""
    g, told, action = shares.graph, shares.finite(), actions.cast(np.int64)
    tenths = g("Where", told, shares, _ZERO).clipped(_ZERO, np.float32(1.1)) * np.float32(10)
    bucket = g("Floor", tenths + np.float32(0.5)) + np.float32(1)
    known = g("Where", g("Less", action, np.int64(len(Action))), action, np.int64(0))
    return known * np.int64(SHARES) + g("Where", told, bucket, _ZERO).cast(np.int64)


def _gap_buckets(gaps_s: Value) -> Value:
    """`model_runtime.signals.gap_buckets`: how many of 1/2, 1, 2, 4 ... seconds are reached."""
    g = gaps_s.graph
    powers = np.exp2(np.arange(-1, GAPS - 2)).astype(np.float32)
    known = g("Where", gaps_s.finite(), gaps_s, _ZERO).reshaped(-1, 1)
    return g("GreaterOrEqual", known, powers).cast(np.int64).summed(1)


def _after(form: UserForm, w: Taken, state: Value, x: Value) -> Value:
    """(n, numbers) float32: the stream after the last layer, the layers' states, the taps' past."""
    at, states, past = form.inner, list[Value](), list[Value]()
    for i in range(form.layers):
        name, before = f"layers.{i}", state.columns(at, at + form.width)
        both = linear(w, f"{name}.into", norm(w, f"{name}.norm", x))
        values, gate = both.columns(0, form.width), both.columns(form.width, 2 * form.width)
        if f"{name}.conv" in w:
            before_it = state.columns(form.inner + form.layers * form.width, form.numbers)
            values, moved = _convolved(values, w[f"{name}.conv"], before_it)
            past.append(moved)
        remembered = CELLS[form.cell](w, f"{name}.cell", before, values)
        x = x + linear(w, f"{name}.out", remembered * silu(gate))
        states.append(remembered)
        at += form.width
    return x.graph.joined([x, *states, *past])


def _convolved(values: Value, taps: F32, past: Value) -> tuple[Value, Value]:
    """What the taps make of the values, and the past that has them first."""
    width, g = taps.shape[1], values.graph
    mixed = values * taps[0]
    for back in range(1, len(taps)):
        mixed = mixed + past.columns((back - 1) * width, back * width) * taps[back]
    older = [past.columns(0, (len(taps) - 2) * width)] if len(taps) > 2 else []
    return mixed, g.joined([values, *older])


def _rounded(numbers: Value, held: type[np.floating]) -> Value:
    """As a record holds them: what a half cannot hold becomes the largest."""
    if held is np.float32:
        return numbers
    return numbers.clipped(-_LARGEST_HALF, _LARGEST_HALF).cast(held)
