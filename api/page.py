"""What a client gets. The only place where a candidate becomes an object, at most 100 times."""

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from api.tokens import Tokens, Tracking
from contracts.batch import CandidateBatch
from contracts.funnel import Query
from operators.catalog import Catalog


class Item(msgspec.Struct, frozen=True, gc=False):
    """One video of a page."""

    video_id: str
    title: str
    thumbnail_url: str | None
    score: float
    source: str
    tracking_token: str


class Page(msgspec.Struct, frozen=True):
    """The answer of feed, similar and trending.

    Attributes:
        next_page_token: None on the last page.
        degraded: None, or the rung of `api.ladder` that answered.
    """

    items: list[Item]
    next_page_token: str | None
    latency_ms: int
    request_id: str
    bundle: str
    degraded: str | None


def items_of(
    batch: CandidateBatch,
    query: Query,
    catalog: Catalog,
    sources: Sequence[str],
    tokens: Tokens,
    bundle: str,
    variant: str,
) -> list[Item]:
    """The items of a page. Positions go on where the pages before it ended."""
    rows = batch.columns["row"].tolist() if len(batch) else []
    scores = np.nan_to_num(batch["score"]).tolist()
    first = len(query.served)
    found_by = [sources[bit] for bit in lowest_bit(batch.sources).tolist()]
    columns = zip(rows, batch.ids.tolist(), scores, found_by, strict=True)
    return [
        Item(
            catalog.video_id(row),
            catalog.title(row),
            catalog.thumbnail_url(row),
            round(score, 6),
            source,
            tokens.tracking(
                Tracking(
                    query.request_id, video, first + i, bundle, variant, query.user_id, query.limit
                )
            ),
        )
        for i, (row, video, score, source) in enumerate(columns)
    ]


def lowest_bit(sources: NDArray[np.uint32]) -> NDArray[np.intp]:
    """(n,) number of the lowest bit set: [1, 6, 4] -> [0, 1, 2]. Every row has one."""
    return np.log2(sources & (~sources + np.uint32(1))).astype(np.intp)
