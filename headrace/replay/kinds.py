"""What does a file hold? Its name says it, or its columns do."""

from collections.abc import Collection
from pathlib import Path
from typing import Final

from contracts.errors import ConfigError
from headrace.replay.rows import Kind

_NAMES: Final = {
    "event": Kind.EVENTS,
    "video": Kind.VIDEOS,
    "profile": Kind.PROFILES,
    "user": Kind.PROFILES,
}


def kind_of_fields(fields: Collection[str]) -> Kind | None:
    """The kind that has these fields, None when they fit none.

    >>> kind_of_fields({"user_id", "event_type", "video_id"}), kind_of_fields({"price"})
    (<Kind.EVENTS: 'events'>, None)
    """
    if "event_type" in fields:
        return Kind.EVENTS
    if "video_id" in fields:
        return Kind.VIDEOS
    return Kind.PROFILES if "user_id" in fields else None


def kind_of_name(path: Path) -> Kind | None:
    """What the file's name begins with: events-2.jsonl, videos.parquet, profiles.json."""
    name = path.name.lower()
    return next((kind for word, kind in _NAMES.items() if name.startswith(word)), None)


def kind_of(path: Path, fields: Collection[str]) -> Kind:
    """The kind by fields, else by name.

    Raises:
        ConfigError: neither says it.
    """
    kind = kind_of_fields(fields) or kind_of_name(path)
    if kind is None:
        raise ConfigError(
            f"{path} holds neither events (event_type), videos (video_id) nor profiles (user_id); "
            f"its fields are {', '.join(sorted(fields)) or 'unreadable'}"
        )
    return kind
