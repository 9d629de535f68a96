"""The day-0 bundle: needs no training, so that a new deployment works before it has data."""

from typing import Annotated, Final

import msgspec

from contracts.models import Bundle
from model_runtime.item_tower import HashedItems, TextWeights
from model_runtime.linear_ranker import HEADS, Head, LinearRanker
from model_runtime.text import DIM
from model_runtime.user_mean import DecayedMean, MeanWeights

ID: Final = "day0"
KIND: Final = "day0"
WEIGHTS: Final = "day0.json"


class Day0(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All numbers of a day-0 bundle. Others than these need another id: they give other vectors."""

    dim: Annotated[int, msgspec.Meta(ge=8, le=DIM)] = DIM
    text: TextWeights = TextWeights()
    mean: MeanWeights = MeanWeights()
    heads: dict[str, Head] = msgspec.field(default_factory=lambda: dict(HEADS))

    def bundle(self, bundle_id: str = ID, embedding_size: int | None = None) -> Bundle:
        """The three models.

        Raises:
            ValueError: a head reads a column that is not in the feature list.
        """
        return Bundle(
            bundle_id,
            DecayedMean(self.dim, self.mean),
            HashedItems(self.text, embedding_size, self.dim),
            LinearRanker(self.heads),
        )
