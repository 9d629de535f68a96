"""Hypothesis strategies for what travels on the topics."""

from typing import cast, get_args

from hypothesis import strategies as st

from contracts.events import ABOUT_A_VIDEO, Context, Event, EventType
from contracts.profiles import Profile
from contracts.videos import Video

NOW_MS = 1_790_000_000_000
ids = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)
countries = st.sampled_from(["DE", "AT", "US", "BR"])
times = st.integers(NOW_MS - 10 * 86_400_000, NOW_MS)
names = st.none() | st.sampled_from(["phone", "tv", "4g", "home", "DE", "pt-BR"])
contexts = st.builds(
    Context, connection=names, device=names, country=names, language=names, surface=names
)


@st.composite
def events(
    draw: st.DrawFn,
    users: st.SearchStrategy[str] = ids,
    videos: st.SearchStrategy[str] = ids,
) -> Event:
    """Any event that can be used."""
    kind = cast(EventType, draw(st.sampled_from(get_args(EventType))))
    about = kind in ABOUT_A_VIDEO or draw(st.booleans())
    follows = kind in ("follow", "unfollow")
    return Event(
        event_id=draw(st.uuids().map(str)),
        user_id=draw(users),
        event_type=kind,
        timestamp=draw(times),
        video_id=draw(videos) if about else None,
        watch_ms=draw(st.none() | st.integers(0, 120_000)),
        duration_ms=draw(st.none() | st.integers(0, 120_000)),
        rating=draw(st.none() | st.floats(0, 5)),
        query=draw(ids) if kind == "search" else None,
        creator_id=draw(ids) if follows else None,
        context=draw(st.none() | contexts),
    )


videos = st.builds(
    Video,
    video_id=ids,
    published_at=times,
    title=st.text(max_size=30),
    tags=st.lists(ids, max_size=6).map(tuple),
    category=st.none() | st.sampled_from(["cooking", "chess", "cats"]),
    language=st.none() | st.sampled_from(["de", "en"]),
    countries=st.lists(countries, max_size=3).map(tuple),
    creator_id=st.none() | ids,
    duration_ms=st.none() | st.integers(0, 600_000),
    min_age=st.sampled_from([0, 12, 18]),
    embedding=st.none() | st.lists(st.floats(-1, 1, width=32), min_size=4, max_size=4).map(tuple),
)
profiles = st.builds(
    Profile,
    user_id=ids,
    country=st.none() | countries,
    language=st.none() | st.sampled_from(["de", "en"]),
    age=st.none() | st.integers(0, 150),
    interests=st.lists(st.sampled_from(["cooking", "chess"]), max_size=3).map(tuple),
    blocked_creators=st.lists(ids, max_size=64).map(tuple),
)
