"""Both towers and the temperature: what is trained, averaged, kept in checkpoints and exported."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from contracts.videos import Video
from model_runtime.training.batches import Batch
from model_runtime.training.config import Training
from model_runtime.training.item_tower import ItemTower
from model_runtime.training.losses import Candidates, bce_loss, softmax_loss
from model_runtime.training.negatives import Drawn
from model_runtime.training.user_tower import Events, UserTower

_COLDEST = 0.01  # of the temperature: a hundredth separates cosines of 0.9 and 0.95 by e^5


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """Vectors of the videos that a step needs; row k is `videos[k]`, the last row is no video."""

    videos: NDArray[np.int64]
    vectors: Tensor

    def rows(self, videos: NDArray[np.int64]) -> Tensor:
        """Where they lie; of -1 the last row, which is zero."""
        place = np.searchsorted(self.videos, videos)
        place[videos < 0] = len(self.videos)
        return torch.from_numpy(place).to(self.vectors.device)


class TwoTower(nn.Module):
    """Viewers and videos in one space."""

    def __init__(self, config: Training, videos: Sequence[Video], met: NDArray[np.bool_]) -> None:
        super().__init__()
        self.config = config
        self.items = ItemTower(config.items, videos, met)
        self.users = UserTower(config.users, config.items.dim)
        self.log_temperature = nn.Parameter(torch.tensor(config.loss.temperature).log())

    def table(self, videos: NDArray[np.int64]) -> Table:
        """Vectors of (k,) distinct videos, ascending."""
        vectors = self.items(torch.from_numpy(videos).to(self.log_temperature.device))
        return Table(videos, nn.functional.pad(vectors, (0, 0, 0, 1)))

    def viewers(self, batch: Batch, table: Table) -> Tensor:
        """(m, d) unit vectors at the events that a batch asks about."""
        device = table.vectors.device
        item, share = batch.item, self.config.users.unknown
        if self.training and share:
            hidden = torch.rand(len(item)).numpy() < share
            item = np.where(hidden, -1, item)
        signal, gap, position, context, begins, profile, at = (
            torch.from_numpy(a).to(device)
            for a in (
                batch.signal, batch.gap, batch.position, batch.context, batch.begins, batch.profile,
                batch.at,
            )
        )  # fmt: skip
        # embedding() adds its gradient up by row, which indexing does one row at a time
        items = nn.functional.embedding(table.rows(item), table.vectors)
        vectors: Tensor = self.users(Events(
            items, signal, gap, position, batch.longest, context, begins, profile
        ))  # fmt: skip
        return vectors[at]

    def loss(self, batch: Batch, drawn: Drawn) -> Tensor:
        """Of one step."""
        named = np.concatenate([batch.item, batch.target, batch.hard.ravel(), drawn.videos])
        table = self.table(np.unique(named[named >= 0]))
        temperature = self.log_temperature.exp().clamp_min(_COLDEST)
        viewers = self.viewers(batch, table) / temperature
        apply = bce_loss if self.config.loss.kind == "bce" else softmax_loss
        return apply(viewers, _candidates(batch, drawn, table))


def _candidates(batch: Batch, drawn: Drawn, table: Table) -> Candidates:
    device, lookup = table.vectors.device, nn.functional.embedding
    own = np.concatenate([batch.target[:, None], batch.hard], axis=1)
    column = np.searchsorted(drawn.videos, batch.target).clip(max=len(drawn.videos) - 1)
    same = np.where(drawn.videos[column] == batch.target, column, -1)
    return Candidates(
        lookup(table.rows(own), table.vectors),
        torch.from_numpy(own < 0).to(device),
        lookup(table.rows(drawn.videos), table.vectors),
        torch.from_numpy(drawn.correction).to(device),
        torch.from_numpy(same).to(device),
    )
