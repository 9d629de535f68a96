"""Figures of a running process in a file of JSON, for whoever looks."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson


def write_to(path: Path) -> Callable[[Any], None]:
    """Replaces `path` each time; a reader sees the old figures or the new ones, never half."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".new")

    def write(figures: Any) -> None:
        temporary.write_bytes(orjson.dumps(figures, option=orjson.OPT_SERIALIZE_NUMPY))
        temporary.replace(path)

    return write
