"""API keys: if the settings name any, a request under /v1 has to bear one of them."""

import hmac
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler
from pydantic import SecretStr

from api.problems import ProblemError

Guard = Callable[[ASGIConnection[Any, Any, Any, Any], BaseRouteHandler], Awaitable[None]]


def guards_of(keys: Sequence[SecretStr]) -> list[Guard]:
    """The Litestar guards of /v1: none if there is no key."""
    if not keys:
        return []
    known = [key.get_secret_value().encode() for key in keys]

    # Async although it waits for nothing: Litestar runs any other guard in a thread, at each request.
    async def guard(
        connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler
    ) -> None:
        scheme, _, given = connection.headers.get("authorization", "").partition(" ")
        offered = given.strip().encode("utf-8", "surrogateescape")
        # All are compared, so that the time says nothing about which one was near.
        matches = [hmac.compare_digest(offered, key) for key in known]
        if scheme.lower() != "bearer" or not any(matches):
            raise ProblemError(
                401, "an API key is needed: Authorization: Bearer KEY", "authorization",
                {"WWW-Authenticate": "Bearer"},
            )  # fmt: skip

    return [guard]
