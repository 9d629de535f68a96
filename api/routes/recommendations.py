"""GET feed, similar, trending: one page each."""

import numpy as np
from litestar import Response, get
from litestar.background_tasks import BackgroundTask

from api.documented import READS, problems
from api.engine import Engine
from api.page import Page
from api.problems import ProblemError, bad
from api.routes.parameters import (
    After,
    Category,
    Country,
    EngineDep,
    Language,
    Limit,
    OptionalUserId,
    PageToken,
    Surface,
    UserId,
    VideoId,
    position,
)  # fmt: skip
from api.viewer import Request
from contracts.errors import TokenError
from contracts.ids import hash32, hash64


@get("/recommendations/feed", summary="A viewer's feed", responses=READS)
async def feed(
    engine: EngineDep,
    user_id: UserId,
    limit: Limit = 20,
    page_token: PageToken = "",
    after: After = "",
    country: Country = "",
    language: Language = "",
    surface: Surface = "home",
) -> Response[Page]:
    """The full funnel, or the best rung that works; an unknown user gets the cold-start feed."""
    request = Request(
        user_id=user_id, limit=limit, page_token=page_token or None, after=position(after),
        country=country or None, language=language or None, surface=surface or "home",
    )  # fmt: skip
    return await _respond(engine, "feed", request)


@get("/recommendations/similar", summary="More like one video", responses=problems(400, 401, 404))
async def similar(
    engine: EngineDep,
    video_id: VideoId,
    user_id: OptionalUserId = "",
    limit: Limit = 20,
    page_token: PageToken = "",
    country: Country = "",
    language: Language = "",
) -> Response[Page]:
    """Near in content, watched in the same sessions, or of the same creator."""
    anchor = hash64(video_id)
    if engine.deps.catalog.rows_of(np.array([anchor], np.int64))[0] < 0:
        raise ProblemError(404, f"video_id: there is no video {video_id!r}", "video_id")
    request = Request(
        user_id=user_id, limit=limit, page_token=page_token or None, country=country or None,
        language=language or None, surface="similar", anchor=anchor,
    )  # fmt: skip
    return await _respond(engine, "similar", request)


@get("/recommendations/trending", summary="What many watch right now", responses=READS)
async def trending(
    engine: EngineDep,
    country: Country = "",
    category: Category = "",
    limit: Limit = 20,
    page_token: PageToken = "",
) -> Response[Page]:
    """In the world, in a country, in a category; refreshed every few seconds."""
    request = Request(
        limit=limit, page_token=page_token or None, country=country or None, surface="trending",
        category=hash32(category) if category else 0,
    )  # fmt: skip
    return await _respond(engine, "trending", request)


async def _respond(engine: Engine, surface: str, request: Request) -> Response[Page]:
    try:
        served = await engine.serve(surface, request)
    except TokenError as e:
        raise bad("page_token", e) from None
    return Response(served.page, background=BackgroundTask(engine.after_response, surface, served))
