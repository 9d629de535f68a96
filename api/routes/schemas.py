"""GET the published JSON Schemas of what is posted."""

from typing import Any

from litestar import get
from litestar.params import FromPath

from api.problems import ProblemError
from contracts.schemas import PUBLISHED, schema_of


@get("/docs/schemas/{name:str}", include_in_schema=False, sync_to_thread=False)
def schema(name: FromPath[str]) -> dict[str, Any]:
    """JSON Schema (2020-12) of `event`, `video`, `profile` or `dead_letter`."""
    if name not in PUBLISHED:
        raise ProblemError(404, f"name: there are {', '.join(PUBLISHED)}", "name")
    return schema_of(name)
