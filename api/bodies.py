"""Request bodies: whole, in time, or an error that says so.

The server waits for a body without end, and a client that stops in the middle of one would hold its
memory for as long as it likes.
"""

import asyncio
from typing import Any

from litestar import Request
from litestar.exceptions import InternalServerException

from api.problems import ProblemError


async def body_of(request: Request[Any, Any, Any], timeout_s: float) -> bytes:
    """The body.

    Raises:
        ProblemError: 408 if it is not here in time, 400 if it never will be; the server's limit
            of its size is a 413.
    """
    try:
        async with asyncio.timeout(timeout_s):
            return await request.body()
    except TimeoutError:
        raise ProblemError(
            408, f"the body did not arrive within {timeout_s:g} s", "body", {"Connection": "close"}
        ) from None
    except (
        InternalServerException
    ):  # Litestar's word for a client that hung up, or broke its chunks
        raise ProblemError(400, "body: it ended before its end", "body") from None
