"""Trained towers with drawn weights: how long they take does not depend on what they have learned."""

from typing import Any

import numpy as np

from contracts.models import F32
from model_runtime.forms import ItemForm, UserForm
from model_runtime.item_facts import AGES, DURATIONS, YEARS
from model_runtime.learned_items import LearnedItems
from model_runtime.recurrent_users import RecurrentUsers
from model_runtime.signals import GAPS, SIGNALS

_GATES = {"rg_lru": ("forget", "take"), "min_gru": ("take",), "lru": ()}


def users(form: UserForm, dim: int = 64) -> RecurrentUsers:
    """A user tower of a form."""
    return RecurrentUsers(form, user_weights(form, dim))


def user_weights(form: UserForm, dim: int = 64) -> dict[str, F32]:
    """Weights of a user tower."""
    rng, weights = np.random.default_rng(0), dict[str, F32]()

    def draw(name: str, *shape: int) -> None:
        weights[name] = (rng.standard_normal(shape) / np.sqrt(shape[-1])).astype(np.float32)

    def line(name: str, inputs: int, outputs: int) -> None:
        draw(f"{name}.weight", outputs, inputs)
        draw(f"{name}.bias", outputs)

    inner, width = form.inner, form.width
    line("item", dim, inner)
    for name, rows in (("signal", SIGNALS), ("signal_scale", SIGNALS), ("gap", GAPS)):
        draw(name, rows, inner)
    for layer in (f"layers.{i}" for i in range(form.layers)):
        draw(f"{layer}.norm.weight", inner)
        line(f"{layer}.into", inner, 2 * width)
        if layer == "layers.0" and form.taps > 1:
            draw(f"{layer}.conv", form.taps, width)
        for gate in _GATES[form.cell]:
            size = width // form.heads
            draw(f"{layer}.cell.{gate}.weight", form.heads, size, size)
            draw(f"{layer}.cell.{gate}.bias", width)
        if form.cell != "min_gru":
            draw(f"{layer}.cell.rate", width // 2 if form.cell == "lru" else width)
        if form.cell == "lru":
            draw(f"{layer}.cell.angle", width // 2)
        line(f"{layer}.out", width, inner)
    draw("norm.weight", inner)
    line("head", inner, dim)
    return weights


def items(embedding: int = 0) -> LearnedItems:
    """An item tower of 100,000 videos."""
    return LearnedItems(ItemForm(), item_weights(ItemForm(), embedding))


def item_weights(form: ItemForm, embedding: int = 0) -> dict[str, Any]:
    """Weights of an item tower of 100,000 videos."""
    rng = np.random.default_rng(0)
    sizes = {
        "tokens": form.buckets, "duration": DURATIONS, "age": AGES, "year": YEARS,
        "content": embedding, "own": 100_000,
    }  # fmt: skip
    weights = {k: rng.standard_normal((n, form.dim)).astype(np.float32) for k, n in sizes.items()}
    return weights | {"ids": np.sort(rng.integers(-(2**62), 2**62, 100_000))}
