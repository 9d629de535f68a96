"""What was served goes to Kafka after the response. Losing it costs statistics, never a page."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from api.dependencies import Publisher
from contracts.batch import CandidateBatch
from contracts.engine_records import Impression, encode_record
from contracts.features import FEATURE_COLUMNS
from contracts.funnel import Query
from contracts.ids import unpack_country
from contracts.metrics import IMPRESSIONS_DROPPED
from contracts.topics import IMPRESSIONS

log = logging.getLogger(__name__)


def impression_of(
    query: Query,
    batch: CandidateBatch,
    video_ids: Sequence[str],
    *,
    bundle: str,
    variant: str,
    rung: str,
) -> Impression:
    """The record of one page; `video_ids` are those of the rows of `batch`."""
    first = len(query.served)
    names = [spec.name for spec in FEATURE_COLUMNS if spec.name in batch.columns]
    return Impression(
        request_id=query.request_id,
        user_id=query.user_id,
        at_ms=query.now_ms,
        surface=query.surface,
        bundle=bundle,
        variant=variant,
        rung=rung,
        country=unpack_country(query.country),
        video_ids=tuple(video_ids),
        positions=tuple(range(first, first + len(batch))),
        propensities=tuple(batch["propensity"].tolist()),
        features={name: batch[name].astype("<f4").tobytes() for name in names},
    )


@dataclass(frozen=True, slots=True)
class Impressions:
    """Publishes without waiting; what Kafka does not take in time is counted."""

    publisher: Publisher

    def publish(self, impression: Impression) -> None:
        """Queue one; never raises."""
        if not impression.user_id or not impression.video_ids:
            return
        key = impression.user_id.encode("utf-8", "surrogatepass")
        try:
            self.publisher.produce(IMPRESSIONS.name, key, encode_record(impression), _count)
        except Exception as e:
            log.warning("impression dropped: %r", e)
            IMPRESSIONS_DROPPED.inc()


def _count(error: Any, message: Any) -> None:
    if error is not None:
        IMPRESSIONS_DROPPED.inc()
