"""GET, PUT and DELETE what is known about a viewer."""

from typing import Any

from litestar import Request, delete, get, put

from api.bodies import body_of
from api.documented import WRITES, ProfileBody, problems
from api.known import Known, known_about
from api.paths import decoded_id
from api.problems import ProblemError, bad_body
from api.publish import ACK_S
from api.routes.parameters import EngineDep, UserInPath
from api.routes.videos import Taken, with_id
from contracts.errors import BadMessageError
from contracts.profiles import decode_profile
from contracts.topics import PROFILES
from streams.positions import Position


@get(
    "/users/{user_id:str}",
    summary="What the engine knows about a person",
    responses=problems(400, 401, 404, 503),
)
async def get_user(engine: EngineDep, user_id: UserInPath) -> Known:
    """In words, not in hashes, as far as the catalog knows the words. 503 without the store."""
    user_id = decoded_id(user_id, "user_id")
    state = await engine.deps.users.get(user_id)
    if state is None:
        raise ProblemError(404, f"user_id: nothing is known of {user_id!r}", "user_id")
    return known_about(user_id, state, engine.deps.catalog)


@put(
    "/users/{user_id:str}",
    status_code=202,
    summary="Set a person's profile",
    operation_class=ProfileBody,
    responses=WRITES,
)
async def put_user(
    engine: EngineDep, user_id: UserInPath, request: Request[Any, Any, Any]
) -> Taken:
    """The body is the whole profile; its `user_id` may be left out, and is the path's."""
    user_id = decoded_id(user_id, "user_id")
    body = with_id(
        await body_of(request, engine.deps.settings.api.body_timeout_s), "user_id", user_id
    )
    try:
        decode_profile(body)
    except BadMessageError as e:
        raise bad_body(e) from None
    return await _send(engine, user_id, body)


@delete("/users/{user_id:str}", status_code=202, summary="Forget a person", responses=WRITES)
async def delete_user(engine: EngineDep, user_id: UserInPath) -> Taken:
    """Everything derived from what they did; the log itself keeps events for its retention."""
    return await _send(engine, decoded_id(user_id, "user_id"), None)


async def _send(engine: EngineDep, user_id: str, value: bytes | None) -> Taken:
    place = await engine.deps.publisher.send(PROFILES.name, user_id.encode(), value, ACK_S)
    return Taken(str(Position(PROFILES.name, *place)))
