"""Creators and what they publish: the wire message, and the hidden traits that viewers react to."""

from dataclasses import dataclass
from math import exp
from random import Random
from typing import Final

from contracts.units import DAY_MS
from contracts.videos import Video
from headrace.simulator.words import CATEGORIES, LANGUAGES, TOPICS, title

COUNTRIES: Final[dict[str, tuple[str, ...]]] = {
    "en": ("US", "GB", "IE"),
    "de": ("DE", "AT", "CH"),
    "es": ("ES", "MX", "AR"),
}
LANGUAGE_SHARES: Final = (0.6, 0.25, 0.15)
_LICENSED_SHARE: Final = 0.06  # of videos that may be shown only where their language is spoken
_ADULT_SHARE: Final = 0.03


@dataclass(frozen=True, slots=True)
class Creator:
    """Someone who publishes about one category, sometimes another. `quality` is about N(0, 1)."""

    creator_id: str
    category: int
    second_category: int
    language: int
    quality: float
    log_seconds: float


@dataclass(frozen=True, slots=True)
class Traits:
    """What a viewer's reaction depends on. Numbers are indices into `words`."""

    video_id: str
    creator_id: str
    category: int
    tags: tuple[str, ...]
    language: int
    seconds: float
    quality: float
    countries: tuple[str, ...]
    min_age: int

    def allowed(self, country: str, age: int) -> bool:
        """May this person see it?"""
        return age >= self.min_age and (not self.countries or country in self.countries)


def new_creator(rng: Random, number: int) -> Creator:
    """The creator of that number; equal seeds give equal creators."""
    return Creator(
        f"creator_{number:04d}",
        category=rng.randrange(len(CATEGORIES)),
        second_category=rng.randrange(len(CATEGORIES)),
        language=rng.choices(range(len(LANGUAGES)), LANGUAGE_SHARES)[0],
        quality=rng.gauss(0, 1),
        log_seconds=rng.gauss(3.6, 0.5),
    )


def new_traits(rng: Random, number: int, creator: Creator) -> Traits:
    """The next clip of a creator: mostly of the usual category, length and quality."""
    category = creator.second_category if rng.random() < 0.15 else creator.category
    topics = TOPICS[CATEGORIES[category]]
    tags = tuple(topic.tag for topic in rng.sample(topics, 2))
    spoken = COUNTRIES[LANGUAGES[creator.language]]
    return Traits(
        f"clip_{number:06d}",
        creator.creator_id,
        category,
        tags,
        creator.language,
        seconds=round(min(max(exp(rng.gauss(creator.log_seconds, 0.35)), 5.0), 600.0), 1),
        quality=0.6 * creator.quality + 0.8 * rng.gauss(0, 1),
        countries=spoken if rng.random() < _LICENSED_SHARE else (),
        min_age=18 if rng.random() < _ADULT_SHARE else 0,
    )


def message(rng: Random, traits: Traits, published_ms: int) -> Video:
    """What is published about these traits; quality stays hidden."""
    by_tag = {topic.tag: topic for topic in TOPICS[CATEGORIES[traits.category]]}
    first, second = (by_tag[tag] for tag in traits.tags)
    return Video(
        traits.video_id,
        published_ms,
        title=title(rng, traits.language, first, second),
        tags=traits.tags,
        category=CATEGORIES[traits.category],
        language=LANGUAGES[traits.language],
        countries=traits.countries,
        creator_id=traits.creator_id,
        duration_ms=round(traits.seconds * 1000),
        min_age=traits.min_age,
    )


class Catalogue:
    """Everything that was made up so far, and the part of it that is published.

    One seeded stream of random numbers makes creators and clips, so the n-th clip of a seed is
    always the same one.
    """

    def __init__(self, seed: int, creators: int) -> None:
        self._rng = Random(f"{seed}/catalogue")
        self.creators = tuple(new_creator(self._rng, n) for n in range(creators))
        self.published: list[Traits] = []
        self._by_id: dict[str, Traits] = {}
        self._at: dict[str, int] = {}
        self._made = 0

    def make(self, now_ms: int, age_days: float = 0.0) -> tuple[Traits, Video]:
        """A new clip, not published yet; `age_days` > 0 dates it back by up to so much."""
        # A few creators publish much of what there is: a square makes shares fall as rank^-0.5.
        creator = self.creators[int(len(self.creators) * self._rng.random() ** 2)]
        traits = new_traits(self._rng, self._made, creator)
        self._made += 1
        published_ms = now_ms - int(self._rng.random() * age_days * DAY_MS)
        return traits, message(self._rng, traits, published_ms)

    def add(self, traits: Traits) -> None:
        """It is published now: viewers of a random feed may meet it."""
        self._at[traits.video_id] = len(self.published)
        self._by_id[traits.video_id] = traits
        self.published.append(traits)

    def remove(self, video_id: str) -> None:
        """It is published no longer; what was shown before is still remembered."""
        at, last = self._at.pop(video_id), self.published.pop()
        if last.video_id != video_id:
            self.published[at], self._at[last.video_id] = last, at

    def get(self, video_id: str) -> Traits | None:
        """The traits of a clip of ours, None for somebody else's."""
        return self._by_id.get(video_id)
