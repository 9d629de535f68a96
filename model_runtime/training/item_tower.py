"""The item tower in torch; `model_runtime.learned_items` is what the engine runs."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as fn

from contracts.videos import Video
from model_runtime.item_facts import AGES, DURATIONS, YEARS, embeddings, facts
from model_runtime.training.blocks import block
from model_runtime.training.config import Items


class ItemTower(nn.Module):
    """Vectors of the videos of one log, of which everything is known at the start.

    Only videos that somebody met in training have a vector of their own: that of another would be
    what it was drawn as.
    """

    known_tokens: Tensor
    known_weights: Tensor
    known_offsets: Tensor
    known_duration: Tensor
    known_age: Tensor
    known_year: Tensor
    known_ids: Tensor
    known_given: Tensor
    known_met: Tensor

    def __init__(self, config: Items, videos: Sequence[Video], met: NDArray[np.bool_]) -> None:
        super().__init__()
        self.config, n, dim = config, len(videos), config.dim
        known, size = facts(videos, config.buckets), embedding_size(videos)
        for name in ("duration", "age", "year", "ids"):
            self._know(name, getattr(known, name))
        for name in ("tokens", "weights", "offsets"):
            self._know(name, getattr(known.bags, name))
        self._know("given", embeddings(videos, size))
        self._know("met", met[:, None].astype(np.float32))
        self.tokens = _table(config.buckets, dim)
        self.duration, self.age, self.year = (_table(k, dim) for k in (DURATIONS, AGES, YEARS))
        self.content = nn.Parameter(torch.randn(size, dim) * dim**-0.5)
        self.own = nn.Parameter(torch.randn(n if config.id_embedding else 0, dim) * dim**-0.5)
        self.block = block(config.block, dim)

    def forward(self, rows: Tensor) -> Tensor:
        """(n, d) unit vectors of (n,) rows of the log's videos."""
        tokens, weights, offsets = self._bag(rows)
        x = fn.embedding_bag(tokens, self.tokens, offsets, mode="sum", per_sample_weights=weights)
        x = x + self.duration[self.known_duration[rows]] + self.age[self.known_age[rows]]
        x = x + self.year[self.known_year[rows]]
        if len(self.content):
            x = x + self.known_given[rows] @ self.content
        if len(self.own):
            x = x + self._own(rows)
        return fn.normalize(self.block(x), dim=1)

    def _know(self, name: str, array: NDArray[Any]) -> None:
        """Kept on the device, but in no checkpoint: the log says it again."""
        self.register_buffer(f"known_{name}", torch.from_numpy(array), persistent=False)

    def _own(self, rows: Tensor) -> Tensor:
        own, share = self.own[rows] * self.known_met[rows], self.config.id_dropout
        if not self.training or not share:
            return own
        return own * (torch.rand(len(rows), 1, device=rows.device) >= share)

    def _bag(self, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The tokens of some videos: what `embedding_bag` takes."""
        begins = self.known_offsets[rows]
        ends = fn.pad(self.known_offsets, (0, 1), value=len(self.known_tokens))[rows + 1]
        sizes = ends - begins
        offsets = sizes.cumsum(0) - sizes
        at = torch.arange(int(sizes.sum()), device=rows.device)
        at += torch.repeat_interleave(begins - offsets, sizes)
        return self.known_tokens[at], self.known_weights[at], offsets


def embedding_size(videos: Sequence[Video]) -> int:
    """Numbers of the embeddings that come with the videos, 0 where none has one."""
    return next((len(video.embedding) for video in videos if video.embedding), 0)


def weights_of(tower: ItemTower) -> dict[str, NDArray[Any]]:
    """As `LearnedItems` reads them. Rows that no video of the log has are zero: they say nothing."""
    out = {name: p.detach().cpu().numpy().copy() for name, p in tower.named_parameters()}
    for name in ("tokens", "duration", "age", "year"):
        unseen = np.ones(len(out[name]), np.bool_)
        unseen[getattr(tower, f"known_{name}").cpu().numpy()] = False
        out[name][unseen] = 0
    own = (
        np.flatnonzero(tower.known_met.cpu().numpy()[:, 0]) if len(tower.own) else np.zeros(0, int)
    )
    ids = tower.known_ids.cpu().numpy()[own]
    order = np.argsort(ids)
    return out | {"ids": ids[order], "own": out["own"][own[order]]}


def _table(rows: int, dim: int) -> nn.Parameter:
    return nn.Parameter(torch.randn(rows, dim) * 0.3 * dim**-0.5)
