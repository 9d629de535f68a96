"""The trained item tower: a video's vector from what is known of it. numpy only."""

from collections.abc import Sequence

import numpy as np

from contracts.models import F32
from contracts.videos import Video
from model_runtime.blocks import BLOCKS, unit
from model_runtime.cells import Weights
from model_runtime.forms import ItemForm
from model_runtime.item_facts import Bags, Facts, embeddings, facts, text_bags


class LearnedItems:
    """The sum of learned parts through a block, of unit length.

    A video of the training log has a part of its own; a new one has what it shares with others:
    words, tags, category, language, its creator, and the embedding that comes with it.
    """

    def __init__(self, form: ItemForm, weights: Weights) -> None:
        self.form, self.dim = form, form.dim
        self._weights = weights
        self._ids, self._own = weights["ids"], weights["own"]  # ids ascending
        self._size = weights["content"].shape[0]
        self._block = BLOCKS[form.block](weights, "block")

    def embed(self, videos: Sequence[Video]) -> F32:
        """(n, d) unit vectors; zero for a video of which nothing is known that training had seen.

        Raises:
            BadMessageError: on an embedding of another size, or with a value that is not finite.
        """
        given = embeddings(videos, self._size)
        return self.of_facts(facts(videos, self.form.buckets), given)

    def of_facts(self, known: Facts, given: F32) -> F32:
        """(n, d) unit vectors of what is known of videos and their (n, size) embeddings."""
        w = self._weights
        x = given @ w["content"] + summed(w["tokens"], known.bags)
        x += w["duration"][known.duration] + w["age"][known.age] + w["year"][known.year]
        if len(self._ids):
            row = np.searchsorted(self._ids, known.ids).clip(max=len(self._ids) - 1)
            x += self._own[row] * (self._ids[row] == known.ids)[:, None]
        return self._finish(x)

    def embed_texts(self, texts: Sequence[str]) -> F32:
        """(n, d) unit vectors; zero where no word was seen in training."""
        return self._finish(summed(self._weights["tokens"], text_bags(texts, self.form.buckets)))

    def _finish(self, x: F32) -> F32:
        known = x.any(axis=1, keepdims=True)
        out: F32 = unit(self._block(x)) * known
        return out


def summed(table: F32, bags: Bags) -> F32:
    """(n, d) weighted sums of each bag's rows of the table."""
    out = np.zeros((len(bags.offsets), table.shape[1]), np.float32)
    filled = np.flatnonzero(np.diff(np.r_[bags.offsets, len(bags.tokens)]))
    if len(filled):
        rows = table[bags.tokens] * bags.weights[:, None]
        out[filled] = np.add.reduceat(rows, bags.offsets[filled], axis=0)
    return out
