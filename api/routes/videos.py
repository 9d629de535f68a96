"""PUT and DELETE a video."""

from typing import Any

import msgspec
from litestar import Request, delete, put

from api.bodies import body_of
from api.documented import WRITES, VideoBody
from api.paths import decoded_id
from api.problems import ProblemError, bad, bad_body
from api.publish import ACK_S
from api.routes.parameters import EngineDep, VideoInPath
from contracts.errors import BadMessageError
from contracts.topics import VIDEOS
from contracts.videos import decode_video
from streams.positions import Position


class Taken(msgspec.Struct, frozen=True):
    """Kafka has it; it takes effect within a second.

    `position` is where it stands in the log. A feed's `after` takes those of events and profiles.
    """

    position: str


@put(
    "/videos/{video_id:str}",
    status_code=202,
    summary="Publish or change a video",
    operation_class=VideoBody,
    responses=WRITES,
)
async def put_video(
    engine: EngineDep, video_id: VideoInPath, request: Request[Any, Any, Any]
) -> Taken:
    """The body is the video; its `video_id` may be left out, and is the path's."""
    video_id = decoded_id(video_id, "video_id")
    body = with_id(
        await body_of(request, engine.deps.settings.api.body_timeout_s), "video_id", video_id
    )
    try:
        decode_video(body)
    except BadMessageError as e:
        raise bad_body(e) from None
    return await _send(engine, video_id, body)


@delete("/videos/{video_id:str}", status_code=202, summary="Remove a video", responses=WRITES)
async def delete_video(engine: EngineDep, video_id: VideoInPath) -> Taken:
    """It is in no feed once the replicas have followed, within a second."""
    return await _send(engine, decoded_id(video_id, "video_id"), None)


async def _send(engine: EngineDep, video_id: str, value: bytes | None) -> Taken:
    place = await engine.deps.publisher.send(VIDEOS.name, video_id.encode(), value, ACK_S)
    return Taken(str(Position(VIDEOS.name, *place)))


def with_id(body: bytes, name: str, value: str) -> bytes:
    """The JSON object with its id.

    Raises:
        ProblemError: 400 if it is no JSON object, or has another id than the path.
    """
    try:
        fields = msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as e:
        raise bad("body", f"is not a JSON object: {e}") from None
    if fields.setdefault(name, value) != value:
        problem = f"{name}: the path says {value!r}, the body {fields[name]!r}"
        raise ProblemError(400, problem, name)
    return msgspec.json.encode(fields)
