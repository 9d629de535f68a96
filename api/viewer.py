"""From a request and what is known about its viewer to the funnel's `Query`."""

import asyncio
from dataclasses import dataclass
from typing import Any

from api.dependencies import Users
from contracts.errors import UnavailableError
from contracts.ids import pack_country, pack_language
from contracts.user_record import UNKNOWN_AGE
from streams.positions import Position


@dataclass(frozen=True, slots=True)
class Request:
    """What the client sent, checked. `limit` 1-100; `anchor` and `category` are hashes, 0 none."""

    user_id: str = ""
    limit: int = 20
    page_token: str | None = None
    after: Position | None = None
    country: str | None = None
    language: str | None = None
    surface: str = "home"
    anchor: int = 0
    category: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Viewer:
    """What the store knows about the viewer.

    Attributes:
        state: the record, None when there is none.
        known: False when the store did not answer, so that `state` says nothing.
        waited: the request was held until its position had been folded.
        held_s: how long it was held, whether or not that helped.
    """

    state: Any | None
    known: bool = True
    waited: bool = False
    held_s: float = 0.0


async def look_up(
    users: Users, user_id: str, after: Position | None, timeout_s: float, wait_s: float
) -> Viewer:
    """The viewer's state, at most `wait_s` later if it does not contain `after` yet."""
    if not user_id:
        return Viewer(None)
    clock_s = asyncio.get_running_loop().time
    started_s, held_s, waited = clock_s(), 0.0, False
    try:
        if after is not None:
            waited = await _wait(users, user_id, after, timeout_s, wait_s)
            held_s = clock_s() - started_s
        async with asyncio.timeout(timeout_s):
            return Viewer(await users.get(user_id), True, waited, held_s)
    except (UnavailableError, TimeoutError):
        return Viewer(None, False, False, held_s)


async def _wait(
    users: Users, user_id: str, after: Position, timeout_s: float, wait_s: float
) -> bool:
    """Whether the state had to be waited for, and then had the position."""
    async with asyncio.timeout(timeout_s):
        if await users.wait_for(user_id, after, 0.0):
            return False
    async with asyncio.timeout(wait_s + timeout_s):
        return await users.wait_for(user_id, after, wait_s)


def context_of(state: Any | None, request: Request) -> dict[str, Any]:
    """Country, language and age: the request's own, else the profile's. Age is never the request's."""
    country, language, age = pack_country(request.country), pack_language(request.language), None
    if state is not None:
        country = country or int(state["country"])
        language = language or int(state["language"])
        age = None if state["age"] == UNKNOWN_AGE else int(state["age"])
    return {"country": country, "language": language, "age": age}
