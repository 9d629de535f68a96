"""One viewer: asks for a page, watches, tells what happened, and asks again at once."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final

import msgspec

from contracts.events import Context, Event, EventType
from contracts.settings import FeedSettings
from headrace.simulator.behaviour import Reaction, react, seconds_watched
from headrace.simulator.catalogue import Traits
from headrace.simulator.client import Item, Page, RefusedError
from headrace.simulator.plan import World
from headrace.simulator.quality import Slate
from headrace.simulator.viewers import Taste, Viewer, drifted, new_taste, new_viewer, profile
from headrace.simulator.words import CATEGORIES, LANGUAGES, TOPICS

_SCROLLS_ON: Final = 0.2  # pages after which a viewer asks for the next page of the same list
_SEARCHES: Final = 0.03
_DRIFTS: Final = 1 / 60  # pages of a drifter until the taste changes
_REMOVAL_S: Final = 2.0  # a removed clip that is served later than this is an error of the engine
_BACK_OFF_S: Final = 0.5
_KNOWS_THE_VIEWER: Final = (None, "no_ranker")  # rungs that had the viewer's state
_HELD_MS: Final = FeedSettings().after_wait_ms
_TRIES: Final = 8
_AGAIN_S: Final = 0.05  # until asking again, doubled each time


@dataclass(slots=True, eq=False)
class Seat:
    """A viewer in front of the screen.

    Attributes:
        rng: for the reactions to what is served; random_rng: for the random slates beside them.
        seen: clips shown to this viewer in this simulation.
        events: numbered so far.
    """

    number: int
    viewer: Viewer
    taste: Taste
    rng: Random
    random_rng: Random
    seen: set[str] = field(default_factory=set)
    events: int = 0
    after: str | None = None
    posted_at_s: float | None = None


def seat(world: World, number: int) -> Seat:
    """The viewer of that number, with a taste of their own."""
    who = world.plan.first + number
    rng = world.plan.rng("viewer", who)
    viewer = new_viewer(rng, who)
    creators = tuple(creator.creator_id for creator in world.catalogue.creators)
    taste = new_taste(rng, viewer.language, creators)
    return Seat(number, viewer, taste, rng, world.plan.rng("random", who))


async def live(world: World, number: int) -> None:
    """Ask, watch and tell until the world stops. An error is counted, and tried again later."""
    person = seat(world, number)
    interval_s = world.plan.viewers / world.plan.rate * (1 + _SCROLLS_ON)
    if await world.pause(person.rng.random() * interval_s):
        return
    await _sign_up(world, person)
    due_s = world.now_s()
    while not world.stopping.is_set():
        due_s = max(due_s + person.rng.uniform(0.5, 1.5) * interval_s, world.now_s())
        try:
            events = await _watch(world, person)
            if await world.pause(due_s - world.now_s()):
                return
            await _tell(world, person, events)
        except RefusedError as error:
            world.failed(error)
            person.after = person.posted_at_s = None
            await world.pause(_BACK_OFF_S)


async def _sign_up(world: World, person: Seat) -> None:
    try:
        await world.client.put_profile(profile(person.viewer, person.taste, world.now_ms()))
    except RefusedError as error:
        world.failed(error)


async def _watch(world: World, person: Seat) -> list[Event]:
    """Ask for a page, now and then for the one after it, and react to what is there."""
    page = await (_fresh_page(world, person) if person.after else _ask(world, person))
    events = list(_reactions(world, person, page.items))
    if page.next_page_token and person.rng.random() < _SCROLLS_ON:
        more = await _ask(world, person, page_token=page.next_page_token)
        events += _reactions(world, person, more.items)
    if person.rng.random() < _SEARCHES:
        events.append(_event(world, person, "search", query=_search(person)))
    if person.viewer.drifts and person.rng.random() < _DRIFTS:
        person.taste = drifted(person.rng, person.taste)
    return events


async def _fresh_page(world: World, person: Seat) -> Page:
    """The first page that contains what was just posted, and how long that took.

    The engine holds a feed with `after` until the viewer's state contains that position, but not
    longer than its setting says. So one that took it less, and knew the viewer, contains it; of any
    other we cannot know, and ask again, less and less often: an engine that is slow because it has
    too much to do must not be given more.
    """
    pause_s = _AGAIN_S
    for _ in range(_TRIES):
        page = await _ask(world, person, after=person.after or "")
        now_s = world.now_s()
        if page.degraded in _KNOWS_THE_VIEWER and page.latency_ms < _HELD_MS:
            world.meters.took("event_to_feed", now_s, now_s - (person.posted_at_s or now_s))
            return page
        world.meters.counts["feeds_without_the_event"] += 1
        if await world.pause(pause_s):
            return page
        pause_s *= 2
    world.meters.counts["events_not_seen_in_time"] += 1
    return page


async def _ask(world: World, person: Seat, **more: str) -> Page:
    began_s = world.now_s()
    page = await world.client.feed(
        person.viewer.user_id,
        {
            "limit": world.plan.page,
            "country": person.viewer.country,
            "language": LANGUAGES[person.viewer.language],
            **more,
        },
    )
    now_s = world.now_s()
    if "after" not in more:  # one that is held on purpose says something about freshness
        world.meters.took("feed", now_s, now_s - began_s)
    world.meters.rungs[page.degraded or "full"] += 1
    world.meters.counts["feeds"] += 1
    world.meters.counts["shown"] += len(page.items)
    world.meters.counts["empty_pages"] += not page.items
    return page


async def _tell(world: World, person: Seat, events: Sequence[Event]) -> None:
    person.after = person.posted_at_s = None
    if not events:
        return
    began_s = world.now_s()
    # Stamped when they are sent: what the engine measures from them is its own delay, not ours.
    now_ms = world.now_ms()
    stamped = [msgspec.structs.replace(event, timestamp=now_ms) for event in events]
    posted = await world.client.post(stamped)
    world.meters.took("post", world.now_s(), world.now_s() - began_s)
    world.meters.counts["events"] += posted.accepted
    world.meters.counts["events_rejected"] += len(posted.rejected)
    person.after, person.posted_at_s = posted.position, began_s


def _reactions(world: World, person: Seat, items: Sequence[Item]) -> Iterator[Event]:
    """The events of a page, and beside it the same viewer's reactions to as many random clips."""
    sums = [0.0] * 5
    for item in items:
        traits = world.catalogue.get(item.video_id)
        _check(world, person, item.video_id)
        reaction = react(person.rng, person.taste, traits)
        other = world.random_traits(person.random_rng, person.viewer.country, person.viewer.age)
        chance = react(person.random_rng, person.taste, other)
        sums[0] += 1
        sums[1] += seconds_watched(reaction, traits)
        sums[2] += seconds_watched(chance, other)
        sums[3] += reaction.complete
        sums[4] += chance.complete
        yield from _events_of(world, person, item, traits, reaction)
    if items:
        videos, served, random, served_complete, random_complete = sums
        slate = (videos, served, random, served_complete, random_complete)
        world.quality.add(Slate(world.now_s(), person.number, slate))


def _check(world: World, person: Seat, video_id: str) -> None:
    """Count what should not be shown: a removed clip, and one that was shown before."""
    removed_at_s = world.removed_at.get(video_id)
    if removed_at_s is not None and world.now_s() > removed_at_s + _REMOVAL_S:
        world.meters.counts["removed_but_shown"] += 1
    if video_id in person.seen:
        world.meters.counts["shown_again"] += 1
    person.seen.add(video_id)


def _events_of(
    world: World, person: Seat, item: Item, traits: Traits | None, reaction: Reaction
) -> Iterator[Event]:
    seconds = traits.seconds if traits else 30.0
    about = {"video_id": item.video_id, "tracking_token": item.tracking_token}
    watched = {
        "watch_ms": round(reaction.share * seconds * 1000),
        "duration_ms": round(seconds * 1000),
    }
    if reaction.clicked:
        yield _event(world, person, "click", **about)
        yield _event(world, person, "skip" if reaction.skipped else "watch", **about, **watched)
    if reaction.liked:
        yield _event(world, person, "like", **about)
    if reaction.shared:
        yield _event(world, person, "share", **about)
    if reaction.refused:
        yield _event(world, person, "not_interested", **about)
    if reaction.followed and traits is not None:
        yield _event(world, person, "follow", **about, creator_id=traits.creator_id)


def _event(world: World, person: Seat, event_type: EventType, **about: Any) -> Event:
    person.events += 1
    viewer = person.viewer
    return Event(
        event_id=f"{viewer.user_id}-{world.nonce}-{person.events}",
        user_id=viewer.user_id,
        event_type=event_type,
        timestamp=world.now_ms(),
        context=Context(
            device=viewer.device, country=viewer.country, language=LANGUAGES[viewer.language]
        ),
        **about,
    )


def _search(person: Seat) -> str:
    """What a viewer types: a topic of one of the two categories liked best."""
    weights = person.taste.categories
    best = sorted(range(len(CATEGORIES)), key=weights.__getitem__, reverse=True)[:2]
    topic = person.rng.choice(TOPICS[CATEGORIES[person.rng.choice(best)]])
    return topic.phrases[person.viewer.language]
