"""The published JSON Schemas, generated from the structs. `python -m contracts.schemas` writes them."""

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


def schema_of(name: str) -> dict[str, Any]:
    """JSON Schema (2020-12) of one published message type."""
    schema = msgspec.json.schema(PUBLISHED[name])
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    if name == "event":  # what the struct cannot say: which types are about a video
        about = {"properties": {"event_type": {"enum": sorted(ABOUT_A_VIDEO)}}}
        named = {"required": ["video_id"], "properties": {"video_id": {"type": "string"}}}
        schema["$defs"]["Event"]["if"] = about
        schema["$defs"]["Event"]["then"] = named
    return schema


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
