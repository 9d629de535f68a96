"""Errors as `application/problem+json` (RFC 9457), naming the parameter that was wrong."""

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final

import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException, ValidationException

from contracts.errors import TokenError, UnavailableError
from contracts.metrics import REFUSED

log = logging.getLogger(__name__)
MEDIA_TYPE: Final = "application/problem+json"
_MISSING: Final = re.compile(r"required (?:\w+ )?parameter '([^']+)'")
_AT_FIELD: Final = re.compile(r"at `\$\.([A-Za-z0-9_]+)")


@dataclass
class ProblemError(Exception):
    """An answer that is not what was asked for.

    Attributes:
        parameter: what was wrong: a query or path parameter, a field of the body, or "body".
    """

    status: int
    detail: str
    parameter: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


def bad(parameter: str, reason: object) -> ProblemError:
    """400 because of one parameter."""
    return ProblemError(400, f"{parameter}: {reason}", parameter)


def bad_body(reason: object) -> ProblemError:
    """400 because of the body; names the field if the decoder did ("... - at `$.title`")."""
    at = _AT_FIELD.search(str(reason))
    return bad(at.group(1) if at else "body", reason)


def unavailable(reason: object) -> ProblemError:
    """503: the same request may succeed in a second."""
    return ProblemError(503, str(reason), headers={"Retry-After": "1"})


def _respond(problem: ProblemError) -> Response[bytes]:
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(problem.status).phrase,
        "status": problem.status,
        "detail": problem.detail,
    }
    if problem.parameter:
        body["parameter"] = problem.parameter
    return Response(
        msgspec.json.encode(body),
        status_code=problem.status,
        media_type=MEDIA_TYPE,
        headers=dict(problem.headers),
    )


def on_problem(_: Request[Any, Any, Any], error: ProblemError) -> Response[bytes]:
    """A problem that a handler raised."""
    return _respond(error)


def on_unavailable(_: Request[Any, Any, Any], error: UnavailableError) -> Response[bytes]:
    """Kafka or Redis did not answer, where there is no rung below."""
    REFUSED.inc()
    return _respond(unavailable(error))


def on_token(_: Request[Any, Any, Any], error: TokenError) -> Response[bytes]:
    """A token that slipped through a handler which should have named it."""
    return _respond(ProblemError(400, str(error), "token"))


def on_validation(_: Request[Any, Any, Any], error: ValidationException) -> Response[bytes]:
    """A parameter that Litestar refused."""
    extra = error.extra if isinstance(error.extra, list) else []
    if extra and isinstance(extra[0], dict):
        name = str(extra[0].get("key") or "body")
        return _respond(bad(name, extra[0].get("message", error.detail)))
    missing = _MISSING.search(error.detail)
    if missing:
        return _respond(bad(missing.group(1), "is required"))
    return _respond(ProblemError(error.status_code, error.detail))


def on_http(_: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    """404, 405, 413 and their like."""
    problem = ProblemError(error.status_code, error.detail, headers=error.headers or {})
    if error.status_code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        problem.parameter = "body"
    return _respond(problem)


def on_bug(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """A defect: logged whole, and nothing of it told to the client."""
    log.exception("%s %s", request.method, request.url.path, exc_info=error)
    return _respond(ProblemError(500, "the server made a mistake; it is logged"))


HANDLERS: Final[dict[Any, Any]] = {
    ProblemError: on_problem,
    UnavailableError: on_unavailable,
    TokenError: on_token,
    ValidationException: on_validation,
    HTTPException: on_http,
    Exception: on_bug,
}
