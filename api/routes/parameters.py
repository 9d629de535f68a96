"""Parameters that several routes take, with their bounds: out of bounds is a 400 that names them."""

from typing import Annotated, Final

from litestar.di import NamedDependency
from litestar.params import PathParameter, QueryParameter, SkipValidation

from api.engine import Engine
from api.problems import bad
from contracts.errors import TokenError
from contracts.events import MAX_ID
from streams.positions import Position

# An empty value is the same as none at all: clients send `page_token=` for the first page.
UserId = Annotated[str, QueryParameter(min_length=1, max_length=256, description="Who is asking.")]
OptionalUserId = Annotated[
    str, QueryParameter(max_length=256, description="Who is asking, if known.")
]
VideoId = Annotated[str, QueryParameter(min_length=1, max_length=256)]
# Still percent-encoded here, and therefore longer than the id (`api.paths`).
_ENCODED: Final = {"maxLength": MAX_ID, "minLength": 1}
_ANY: Final = "Any text, percent-encoded, a slash too."
VideoInPath = Annotated[str, PathParameter(schema_extra=_ENCODED, description=_ANY)]
UserInPath = Annotated[str, PathParameter(schema_extra=_ENCODED, description=_ANY)]
Limit = Annotated[int, QueryParameter(ge=1, le=100, description="Items on the page.")]
PageToken = Annotated[
    str, QueryParameter(max_length=8192, description="The next_page_token of a page.")
]
After = Annotated[
    str,
    QueryParameter(max_length=64, description="Position of an event that the feed has to contain."),
]
Country = Annotated[
    str, QueryParameter(pattern="^([A-Za-z]{2})?$", description="ISO 3166 alpha-2.")
]
Language = Annotated[
    str,
    QueryParameter(pattern="^([A-Za-z]{2,3}([-_][A-Za-z0-9]{1,8})*)?$", description="BCP 47 tag."),
]
Surface = Annotated[
    str, QueryParameter(max_length=64, description="Where it will be shown: the ranker reads it.")
]
Category = Annotated[str, QueryParameter(max_length=128, description="Only of this category.")]
EngineDep = NamedDependency[SkipValidation[Engine]]


def position(after: str) -> Position | None:
    """The parsed `after`; a 400 that names it if it is no position token."""
    try:
        return Position.parse(after) if after else None
    except TokenError as e:
        raise bad("after", e) from None
