"""GET explain: why these videos, or why not this one."""

from typing import Annotated

import numpy as np
from litestar import get
from litestar.params import QueryParameter

from api.documented import problems
from api.engine import Engine
from api.explain import Explanation
from api.explain import explain as explain_feed
from api.problems import ProblemError, bad
from api.routes.parameters import Country, EngineDep, Language, Limit, OptionalUserId
from api.tokens import Tracking
from api.viewer import Request
from contracts.errors import TokenError
from contracts.ids import hash64

TrackingToken = Annotated[str, QueryParameter(max_length=1024, description="Of an item of a page.")]
OptionalVideoId = Annotated[str, QueryParameter(max_length=256, description="Only this video.")]


@get(
    "/recommendations/explain",
    summary="Why is this recommended, or why not",
    responses=problems(400, 401, 404, 503),
)
async def explain(
    engine: EngineDep,
    tracking_token: TrackingToken = "",
    user_id: OptionalUserId = "",
    video_id: OptionalVideoId = "",
    limit: Limit = 20,
    country: Country = "",
    language: Language = "",
) -> Explanation:
    """Sources, features, scores, and the position before and after each stage, computed now."""
    request_id = ""
    if tracking_token:
        tracking = _open(engine, tracking_token)
        user_id, request_id = tracking.user_id or user_id, tracking.request_id
        limit = tracking.limit
        video_id = _name(engine, tracking.video, "tracking_token")
    elif not user_id:
        raise bad("user_id", "is required when there is no tracking_token")
    elif video_id:
        _name(engine, hash64(video_id), "video_id")
    request = Request(
        user_id=user_id, limit=limit, country=country or None, language=language or None
    )
    return await explain_feed(engine, request, video_id or None, request_id)


def _open(engine: Engine, token: str) -> Tracking:
    try:
        return engine.tokens.open_tracking(token)
    except TokenError as e:
        raise bad("tracking_token", e) from None


def _name(engine: Engine, video: int, parameter: str) -> str:
    row = engine.deps.catalog.rows_of(np.array([video], np.int64))[0]
    if row < 0:
        raise ProblemError(404, f"{parameter}: there is no such video (any more)", parameter)
    return engine.deps.catalog.video_id(row)
