"""The published JSON Schemas, generated from the structs. `python -m contracts.schemas` writes them."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import msgspec

from contracts.engine_records import DeadLetter
from contracts.events import ABOUT_A_VIDEO, Event
from contracts.profiles import Profile
from contracts.videos import Video

FOLDER: Final = Path(__file__).parent / "schemas"
PUBLISHED: Final[dict[str, type]] = {
    "event": Event,
    "video": Video,
    "profile": Profile,
    "dead_letter": DeadLetter,
}
# What the struct cannot say: which types of event need which field.
_TEXT: Final = {"type": "string", "minLength": 1}


def _needs(types: Iterable[str], *fields: str) -> dict[str, Any]:
    named = [{"required": [f], "properties": {f: _TEXT}} for f in fields]
    return {
        "if": {"properties": {"event_type": {"enum": sorted(types)}}},
        "then": named[0] if len(named) == 1 else {"anyOf": named},
    }


_CONDITIONS: Final = {
    "allOf": [
        _needs(ABOUT_A_VIDEO, "video_id"),
        _needs(("search",), "query"),
        _needs(("follow", "unfollow"), "creator_id", "video_id"),
    ]
}


def schema_of(name: str) -> dict[str, Any]:
    """JSON Schema (2020-12) of one published message type."""
    schema = msgspec.json.schema(PUBLISHED[name])
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    if name == "event":
        schema["$defs"]["Event"] |= _CONDITIONS
    return schema


def components(ref_template: str) -> dict[str, dict[str, Any]]:
    """The schemas of what is posted, by the names of their types, for an OpenAPI document."""
    _, found = msgspec.json.schema_components((Event, Video, Profile), ref_template=ref_template)
    found["Event"] |= _CONDITIONS
    return found


def render(name: str) -> bytes:
    """The file's content: indented JSON with a final newline."""
    return (
        msgspec.json.format(msgspec.json.encode(schema_of(name), order="sorted"), indent=2) + b"\n"
    )


def main() -> None:
    """Write every schema beside this module."""
    for name in PUBLISHED:
        (FOLDER / f"{name}.schema.json").write_bytes(render(name))


if __name__ == "__main__":
    main()
