"""Features of viewer and video together, from the definitions that training reads too."""

from collections.abc import Mapping

from contracts.batch import CandidateBatch, Column
from contracts.funnel import Query
from operators.features import FEATURES


class ViewerFeatures:
    """Every column of `operators.features.FEATURES`; needs `video_facts`."""

    name = "viewer_features"
    provides = tuple(feature.spec for feature in FEATURES)

    async def hydrate(self, query: Query, batch: CandidateBatch) -> Mapping[str, Column]:
        """Without a state, each feature's own value for "unknown"."""
        return {
            feature.spec.name: feature.values(query.state, batch, query.now_ms, query.language)
            for feature in FEATURES
        }
