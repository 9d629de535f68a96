"""A log of the simulator's world, for what public logs cannot show: seconds between events, new tastes.

Viewers come in sessions and are shown clips by lot, so that what they take to says something about
their taste and nothing about a recommender. Every figure from it has to be told as the simulator's.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Final

from contracts.events import Event, EventType
from contracts.profiles import Profile
from contracts.units import HOUR_MS
from contracts.videos import Video
from headrace.simulator.behaviour import Reaction, react
from headrace.simulator.catalogue import Catalogue, Traits
from headrace.simulator.viewers import Taste, Viewer, drifted, new_taste, new_viewer, profile
from model_runtime.training.layout import About

_PAGE: Final = 10
_SESSION_PAGES: Final = 6
_DRIFTS: Final = 1 / 60  # pages of a drifter until the taste changes, as in the live simulation
_BETWEEN_H: Final = 8.0  # hours between two sessions, on average
_PASSED_MS: Final = 1500  # a clip that is scrolled past takes so long
_ARRIVE_SHARE: Final = 0.8  # viewers arrive during so much of the time
_START_MS: Final = 1_700_000_000_000


@dataclass(frozen=True, slots=True)
class Simulated:
    """A world of equal seeds is always the same.

    Attributes:
        viewers, videos: how many; days: how long the log goes.
        first: number of the first viewer: another one makes other people who are shown the same videos.
    """

    viewers: int = 300
    videos: int = 2000
    days: float = 7.0
    seed: int = 7
    first: int = 0

    @property
    def about(self) -> About:
        """The simulator's, and nobody's data."""
        return About(
            name=f"simulated: {self.viewers} viewers, {self.videos:,} videos, {self.days:g} days",
            licence="Apache-2.0: made by Headrace's simulator, not by people",
            source=f"headrace data simulate, seed {self.seed}, viewers from {self.first}",
        )

    def made(self) -> tuple[list[Video], list[Profile], list[Event]]:
        """Everything, events by time."""
        catalogue, published = Catalogue(self.seed, max(5, self.videos // 10)), []
        for _ in range(self.videos):
            traits, video = catalogue.make(_START_MS, age_days=14)
            catalogue.add(traits)
            published.append(video)
        profiles: list[Profile] = []
        events: list[Event] = []
        for number in range(self.first, self.first + self.viewers):
            rng = Random(f"{self.seed}/viewer/{number}")
            viewer = new_viewer(rng, number)
            creators = tuple(creator.creator_id for creator in catalogue.creators)
            taste = new_taste(rng, viewer.language, creators)
            begin_ms = _START_MS + int(rng.random() * _ARRIVE_SHARE * self._length_ms)
            profiles.append(profile(viewer, taste, begin_ms))
            events += self._lived(rng, viewer, taste, catalogue, begin_ms)
        return published, profiles, sorted(events, key=lambda event: event.timestamp)

    @property
    def _length_ms(self) -> int:
        return int(self.days * 24 * HOUR_MS)

    def _lived(
        self, rng: Random, viewer: Viewer, taste: Taste, catalogue: Catalogue, now_ms: int
    ) -> Iterator[Event]:
        unseen = [t for t in catalogue.published if t.allowed(viewer.country, viewer.age)]
        rng.shuffle(unseen)
        end_ms, pages = _START_MS + self._length_ms, 0
        while unseen and now_ms < end_ms:
            for _ in range(_PAGE):
                if not unseen:
                    break
                clip = unseen.pop()
                reaction = react(rng, taste, clip)
                yield from events_of(viewer, clip, reaction, now_ms)
                now_ms += _PASSED_MS + round(reaction.share * clip.seconds * 1000)
            pages += 1
            if viewer.drifts and rng.random() < _DRIFTS:
                taste = drifted(rng, taste)
            if pages % _SESSION_PAGES == 0:
                now_ms += round(rng.expovariate(1 / _BETWEEN_H) * HOUR_MS)


def events_of(viewer: Viewer, clip: Traits, reaction: Reaction, at_ms: int) -> Iterator[Event]:
    """What a viewer did with a clip, told when the clip is left."""
    left_ms = at_ms + round(reaction.share * clip.seconds * 1000)

    def event(kind: EventType, **more: int) -> Event:
        name = f"{viewer.user_id}-{clip.video_id}-{kind}"
        return Event(name, viewer.user_id, kind, left_ms, clip.video_id, **more)  # type: ignore[arg-type]

    if reaction.clicked:
        watched = round(reaction.share * clip.seconds * 1000)
        kind: EventType = "skip" if reaction.skipped else "watch"
        yield event(kind, watch_ms=watched, duration_ms=round(clip.seconds * 1000))
    if reaction.liked:
        yield event("like")
    if reaction.refused:
        yield event("not_interested")
