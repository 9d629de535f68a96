"""Features of viewer and video together, from the definitions that training reads too."""

from collections.abc import Mapping

from contracts.batch import CandidateBatch, Column
from contracts.funnel import Query
from contracts.ids import pack_name
from operators.features import FEATURES
from operators.features.protocol import Asked


class ViewerFeatures:
    """Every column of `operators.features.FEATURES`; needs `video_facts`."""

    name = "viewer_features"
    provides = tuple(feature.spec for feature in FEATURES)

    async def hydrate(self, query: Query, batch: CandidateBatch) -> Mapping[str, Column]:
        """Without a state, each feature's own value for "unknown"."""
        asked = Asked(query.now_ms, query.language, pack_name(query.surface))
        return {f.spec.name: f.values(query.state, batch, asked) for f in FEATURES}
