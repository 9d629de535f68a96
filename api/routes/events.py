"""POST events: for those who cannot write to Kafka themselves."""

from typing import Any, Final

import msgspec
from litestar import Request, post

from api.bodies import body_of
from api.documented import MAX_EVENTS, WRITES, EventsBody
from api.problems import bad
from api.publish import ACK_S, send_all
from api.routes.parameters import EngineDep
from contracts.errors import BadMessageError
from contracts.events import decode_event
from contracts.topics import EVENTS
from streams.positions import Position

# A list would be made whole before anything can count it: this one ends at the first event too many.
_NONE: Final = msgspec.Raw(b"")
_array: Final = msgspec.json.Decoder(
    msgspec.defstruct(
        "AtMost",
        [(f"event{i}", msgspec.Raw, _NONE) for i in range(MAX_EVENTS)],
        array_like=True,
        forbid_unknown_fields=True,
    )
)


class Rejected(msgspec.Struct, frozen=True):
    """An event of the request that cannot be used; `index` counts from 0."""

    index: int
    reason: str


class Accepted(msgspec.Struct, frozen=True):
    """What became of the events.

    Attributes:
        position: of the last one accepted, for the `after` of a feed; None if there is none.
    """

    accepted: int
    rejected: list[Rejected]
    position: str | None


@post(
    "/events",
    status_code=202,
    summary="One event, or an array of up to 1,000",
    operation_class=EventsBody,
    responses=WRITES,
)
async def post_events(engine: EngineDep, request: Request[Any, Any, Any]) -> Accepted:
    """Answers once every in-sync replica has them; 503 with Retry-After when Kafka has not."""
    payloads = _split(await body_of(request, engine.deps.settings.api.body_timeout_s))
    messages: list[tuple[bytes, bytes]] = []
    rejected: list[Rejected] = []
    for index, payload in enumerate(payloads):
        try:
            event = decode_event(payload)
        except BadMessageError as e:
            rejected.append(Rejected(index, str(e)))
            continue
        messages.append((event.user_id.encode(), payload))
    places = await send_all(engine.deps.publisher, EVENTS.name, messages, ACK_S)
    last = str(Position(EVENTS.name, *places[-1])) if places else None
    return Accepted(len(messages), rejected, last)


def _split(body: bytes) -> list[bytes]:
    """The JSON text of each event, as it came: what we do not know is for others to read."""
    if not body.lstrip().startswith(b"["):
        if not body.strip():
            raise bad("body", "is empty; send one event or an array of them")
        return [body]
    try:
        events = msgspec.structs.astuple(_array.decode(body))
    except msgspec.ValidationError:
        raise bad("body", f"more than {MAX_EVENTS} events") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as e:
        raise bad("body", f"is not JSON: {e}") from None
    return [bytes(event) for event in events if event is not _NONE]
