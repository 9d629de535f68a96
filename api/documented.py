"""What the OpenAPI document says of bodies and problems; the handlers read bodies themselves.

Events and videos go to the log as they came, so that no handler has a typed body that the document
could be made from: the published schemas of `contracts.schemas` stand in.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import msgspec
from litestar.openapi import ResponseSpec
from litestar.openapi.spec import Components, Operation, RequestBody, SecurityScheme

from api.problems import MEDIA_TYPE
from contracts.schemas import components

_REF: Final = "#/components/schemas/{name}"
MAX_EVENTS: Final = 1000


class Problem(msgspec.Struct, frozen=True):
    """An error as RFC 9457 has it; `parameter` names what was wrong with the request."""

    type: str
    title: str
    status: int
    detail: str
    parameter: str = ""


_WHY: Final = {
    400: "A parameter or the body is wrong",
    401: "An API key is needed",
    404: "There is no such thing",
    408: "The body did not arrive in time",
    413: "The body is too large",
    503: "Kafka or Redis did not answer; try again after Retry-After",
}


def problems(*statuses: int) -> Mapping[int, ResponseSpec]:
    """Documented answers besides the good one."""
    return {
        status: ResponseSpec(
            Problem, description=_WHY[status], media_type=MEDIA_TYPE, generate_examples=False
        )
        for status in statuses
    }


READS: Final = problems(400, 401)
WRITES: Final = problems(400, 401, 408, 413, 503)


@dataclass
class _WithBody(Operation):
    schema: ClassVar[Mapping[str, Any]]

    def __post_init__(self) -> None:
        content: Any = {"application/json": {"schema": dict(self.schema)}}
        self.request_body = RequestBody(content=content, required=True)


_EVENT: Final = {"$ref": _REF.format(name="Event")}


class EventsBody(_WithBody):
    """One event, or an array of them."""

    schema: ClassVar[Mapping[str, Any]] = {
        "oneOf": [_EVENT, {"type": "array", "items": _EVENT, "maxItems": MAX_EVENTS}]
    }


class VideoBody(_WithBody):
    """A video whose id may be left to the path."""

    schema: ClassVar[Mapping[str, Any]] = {"$ref": _REF.format(name="VideoInPath")}


class ProfileBody(_WithBody):
    """A profile whose id may be left to the path."""

    schema: ClassVar[Mapping[str, Any]] = {"$ref": _REF.format(name="ProfileInPath")}


@dataclass
class Published(Components):
    """What the handlers' types give, and the schemas of what is posted."""

    def to_schema(self) -> dict[str, Any]:
        """Of the document."""
        out = super().to_schema()
        found = components(_REF)
        for name, key in (("Video", "video_id"), ("Profile", "user_id")):
            found[f"{name}InPath"] = _without_id(found[name], key)
        out["schemas"] = {**out.get("schemas", {}), **found}
        return out


def _without_id(schema: Mapping[str, Any], key: str) -> dict[str, Any]:
    """The same, with an id that the path says: another one in the body would be an error."""
    rest = {name: field for name, field in schema["properties"].items() if name != key}
    required = [name for name in schema["required"] if name != key]
    return {**schema, "properties": rest, "required": required}


def documented_components(with_keys: bool) -> Components:
    """The document's components; how a key is shown, if one is needed."""
    bearer = SecurityScheme(type="http", scheme="bearer")
    return Published(security_schemes={"key": bearer} if with_keys else None)
