"""The columns that a ranker may read: one name, one meaning, for the stream, the API and training.

Catalog columns come from `operators.catalog`, the rest from the read side of `operators.features`
and from the hydrators of `api`. Everything is per candidate row; what belongs to the viewer alone is
repeated.
"""

from typing import Final

import numpy as np

from contracts.batch import ColumnSpec, f32

TAGS_PER_VIDEO: Final = 4
COUNTRY_WORDS: Final = 12  # 12 x 64 bits: one bit for each of 26 x 26 alpha-2 codes

# Of the video, from the catalog. Names are 32-bit hashes, 0 unknown.
VIDEO_COLUMNS: Final = (
    ColumnSpec("creator", np.dtype(np.uint32), 0),
    ColumnSpec("category", np.dtype(np.uint32), 0),
    ColumnSpec("tags", np.dtype(np.uint32), 0, (TAGS_PER_VIDEO,)),
    ColumnSpec("language", np.dtype(np.uint16), 0),
    ColumnSpec("published_ms", np.dtype(np.int64), 0),
    ColumnSpec("duration_ms", np.dtype(np.int32), 0),
    ColumnSpec("min_age", np.dtype(np.uint8), 0),
    ColumnSpec("sponsored", np.dtype(np.bool_), False),
)
# Of the video and the viewer together, from `operators.features`.
VIEWER_COLUMNS: Final = (
    f32("affinity_category"),  # decayed weight of the candidate's category in the viewer's history
    f32("affinity_creator"),
    f32("affinity_language"),
    f32("affinity_tags"),  # mean over the candidate's tags
    f32("follows_creator"),  # 1 or 0
    f32("hour_habit"),  # share of the viewer's activity in this hour of the day (UTC)
    f32("mean_share"),  # mean watched share of all that the viewer watched, 0.5 unknown
    f32("session_events"),
    f32("session_minutes"),
    f32("age_hours"),  # since publication, of the candidate
    f32("language_match"),  # 1 the viewer's language, 0 another, 0.5 unknown
    # Names, to be crossed with the video's: small whole numbers, exact in a float32; 0 unknown.
    f32("hour"),  # of the day (UTC)
    f32("viewer_country"),
    f32("viewer_language"),
    f32("viewer_device"),
    f32("surface"),  # where the page is shown, as the request says
)
# From decayed statistics, smoothed by a prior (`operators.stats_board`).
RATE_COLUMNS: Final = (
    f32("impressions"),
    f32("ctr", 0.1),  # clicks per impression
    f32("complete_rate", 0.2),  # completes per click
    f32("like_rate", 0.02),
    f32("skip_rate", 0.2),
    f32("clicks"),  # of how many people, decayed as the rates are
    f32("trend"),  # people who take to it now: the same, decayed within hours
)
COSINE: Final = f32("cosine")  # viewer's vector . video's vector

FEATURE_COLUMNS: Final = (*VIEWER_COLUMNS, *RATE_COLUMNS, COSINE)
