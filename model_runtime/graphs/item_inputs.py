"""What the item tower's graph is asked with: the texts of videos, hashed as the engine hashes them.

Needs no onnx, so that whoever asks a server of graphs needs none either.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contracts.videos import Video
from model_runtime.forms import ItemForm
from model_runtime.item_facts import Bags, embeddings, facts


def item_inputs(
    form: ItemForm, embedding: int, own: bool, videos: Sequence[Video]
) -> dict[str, NDArray[Any]]:
    """What the graph is asked with for n videos.

    `tokens` and `token_weights` (n, k) are rows of the hashed table with their weights, filled up with
    weights of zero; `duration`, `age` and `year` (n,) are rows of the small tables; `embedding` (n, size)
    is of unit length, zero where a video has none; `id` (n,) is the video's hash64.

    Args:
        embedding: numbers of the embeddings that the bundle was trained on; 0: there is no such input.
        own: whether the bundle has vectors of single videos; else there is no input `id`.

    Raises:
        BadMessageError: on an embedding of another size, or with a value that is not finite.
    """
    known = facts(videos, form.buckets)
    tokens, token_weights = _filled_up(known.bags)
    out: dict[str, NDArray[Any]] = {
        "tokens": tokens, "token_weights": token_weights, "duration": known.duration,
        "age": known.age, "year": known.year,
    }  # fmt: skip
    if embedding:
        out["embedding"] = embeddings(videos, embedding)
    return out | ({"id": known.ids} if own else {})


def _filled_up(bags: Bags) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    sizes = np.diff(np.r_[bags.offsets, len(bags.tokens)])
    there = np.arange(max(sizes.max(initial=0), 1)) < sizes[:, None]  # (n, k)
    tokens, weights = np.zeros(there.shape, np.int64), np.zeros(there.shape, np.float32)
    tokens[there], weights[there] = bags.tokens, bags.weights
    return tokens, weights
