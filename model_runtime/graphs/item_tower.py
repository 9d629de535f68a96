"""The item tower as a graph: what is known of videos, as numbers, to their vectors.

Texts are hashed by whoever asks: `model_runtime.graphs.item_inputs` does it, with the code that the engine
uses.
"""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto

from model_runtime.forms import ItemForm
from model_runtime.graphs.graph import Graph, Value
from model_runtime.graphs.layers import BLOCKS, some, unit
from model_runtime.graphs.taken import Taken

NAME: Final = "item_tower"


def item_tower(
    form: ItemForm, weights: Mapping[str, NDArray[Any]], about: dict[str, str]
) -> ModelProto:
    """The graph of `LearnedItems.embed`; inputs as `item_inputs` makes them, output `vector` (n, d).

    Raises:
        BundleError: the tower has weights that the graph has no place for, or is too large.
        KeyError: it lacks one.
    """
    w, g = Taken(weights), Graph(NAME)
    x = _summed(w, g)
    for name in ("duration", "age", "year"):
        x = x + g("Gather", w[name], g.input(name, np.int64))
    if len(content := w["content"]):
        x = x + g.input("embedding", np.float32, len(content)) @ content
    ids, own = w["ids"], w["own"]
    if len(ids):
        nothing = np.zeros_like(own[:1])  # a video that training has not seen
        row = g.looked_up(g.input("id", np.int64), ids, len(ids))
        x = x + g("Gather", np.concatenate([own, nothing]), row)
    vector = unit(BLOCKS[form.block](w, "block", x)) * some(x)
    g.output("vector", vector, np.float32, form.dim)
    w.all_of(NAME)
    return g.model(about)


def _summed(w: Taken, g: Graph) -> Value:
    """(n, d) weighted sums of the rows of the hashed table."""
    tokens = g.input("tokens", np.int64, "k")
    share = g("Unsqueeze", g.input("token_weights", np.float32, "k"), np.array([2], np.int64))
    return (g("Gather", w["tokens"], tokens) * share).summed(1)
