"""Ids in paths: any text, percent-encoded. A slash in one is no border between segments.

Servers hand over a decoded path, in which `a%2Fb` is two segments and `a%2F` is `a`: forgetting one
person must not forget another. So what the router matches is the path as it was sent.
"""

import re
from typing import Any, Final
from urllib.parse import unquote_to_bytes

from api.problems import bad
from contracts.events import MAX_ID

_WITH_ID: Final = re.compile(rb"/v1/(?:users|videos)/[^/?]+")


def one_segment(scope: Any) -> Any:
    """The same scope, with the id of its path still encoded: the router sees one segment."""
    raw = scope.get("raw_path") if scope["type"] == "http" else None
    if raw and (found := _WITH_ID.fullmatch(raw.partition(b"?")[0])):
        return {**scope, "path": found[0].decode("latin-1")}
    return scope


def decoded_id(segment: str, parameter: str) -> str:
    """The id that a segment of such a path says.

    Raises:
        ProblemError: 400 if it is not UTF-8, or too long.
    """
    try:
        found = unquote_to_bytes(segment.encode("latin-1")).decode()
    except UnicodeError:
        raise bad(parameter, "is not percent-encoded UTF-8") from None
    if len(found) > MAX_ID:
        raise bad(parameter, f"has {len(found)} characters, at most {MAX_ID} are taken")
    return found
