"""What both MovieLens sets have in common: a film is a video, a rating an event."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from contracts.events import Event
from contracts.profiles import Profile
from contracts.videos import Video

_YEAR: Final = re.compile(r"\((\d{4})\)\s*$")


def film(
    number: str | int, title: str, genres: Sequence[str], released_s: int | None = None
) -> Video:
    """A film; its first genre is the category, and it came out when its title says, or later."""
    year = _YEAR.search(title)
    if released_s is None and year is not None:
        released_s = int(datetime(int(year[1]), 1, 1, tzinfo=UTC).timestamp())
    named = tuple(genre for genre in genres if genre not in ("unknown", "(no genres listed)"))
    return Video(
        f"m_{number}",
        max(released_s or 1, 1),  # in seconds: that of 1971 in milliseconds would be taken for such
        title=title,
        tags=named,
        category=named[0] if named else None,
    )


def person(number: str | int, age: int) -> Profile:
    """A person, of whom only the age is of use here."""
    return Profile(f"u_{number}", age=age)


def rating(user: int, movie: int, stars: float, at_s: int) -> Event:
    """One rating; a person rates a film once."""
    return Event(f"ml_{user}_{movie}", f"u_{user}", "rate", at_s, f"m_{movie}", rating=stars)
