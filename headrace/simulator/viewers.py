"""Viewers and their hidden tastes. Nothing here is ever sent to the engine but the profile."""

from dataclasses import dataclass, replace
from random import Random
from typing import Final

from contracts.profiles import Profile
from headrace.simulator.catalogue import COUNTRIES, LANGUAGE_SHARES
from headrace.simulator.words import CATEGORIES, LANGUAGES, TOPICS

_DEVICES: Final = ("android", "iphone", "tablet", "tv")
_DRIFTER_SHARE: Final = 0.3
_TELLS_INTERESTS: Final = 0.4  # of new viewers, how many pick interests when they sign up


@dataclass(frozen=True, slots=True)
class Taste:
    """What somebody likes. Weights are in about [-1, 1], 0 = indifferent.

    Attributes:
        categories: one weight per category of `words`.
        tags: weights of single topics, on top of their category's.
        creators: weights of single creators.
        languages: indices of the languages that the viewer understands.
        log_seconds: the preferred length of a clip, natural log of seconds.
    """

    categories: tuple[float, ...]
    tags: dict[str, float]
    creators: dict[str, float]
    languages: tuple[int, ...]
    log_seconds: float


@dataclass(frozen=True, slots=True)
class Viewer:
    """A viewer, as far as the engine may know, and whether the hidden taste changes in time."""

    user_id: str
    country: str
    language: int
    age: int
    device: str
    drifts: bool
    tells: bool


def _category_weights(rng: Random) -> list[float]:
    weights = [rng.gauss(-0.1, 0.25) for _ in CATEGORIES]
    loved = rng.sample(range(len(CATEGORIES)), rng.choice((2, 2, 3)))
    for rank, category in enumerate(loved):
        weights[category] = rng.uniform(0.8, 1.2) - 0.15 * rank
    hated = [n for n in range(len(CATEGORIES)) if n not in loved]
    for category in rng.sample(hated, 3):
        weights[category] = -rng.uniform(0.5, 1.0)
    return weights


def _tag_weights(rng: Random, categories: list[float]) -> dict[str, float]:
    """A favourite and a bore within each category that is not hated."""
    tags: dict[str, float] = {}
    for name, weight in zip(CATEGORIES, categories, strict=True):
        if weight > 0:
            favourite, bore = rng.sample(TOPICS[name], 2)
            tags[favourite.tag] = rng.uniform(0.5, 1.0)
            tags[bore.tag] = -rng.uniform(0.2, 0.8)
    return tags


def new_taste(rng: Random, language: int, creators: tuple[str, ...]) -> Taste:
    """A taste with two or three loved categories of twelve."""
    categories = _category_weights(rng)
    others = [n for n in range(len(LANGUAGES)) if n != language]
    second = rng.choice(others) if rng.random() < 0.35 else language
    known = rng.sample(creators, min(len(creators), 12))
    return Taste(
        tuple(categories),
        _tag_weights(rng, categories),
        {creator: rng.gauss(0, 0.6) for creator in known},
        tuple({language, second}),
        log_seconds=rng.gauss(3.6, 0.6),
    )


def drifted(rng: Random, taste: Taste) -> Taste:
    """The taste after a change of mind: a loved category cools down, another one takes its place."""
    weights = list(taste.categories)
    best = max(range(len(weights)), key=weights.__getitem__)
    new = rng.choice([n for n, weight in enumerate(weights) if weight < 0.5])
    weights[best], weights[new] = rng.uniform(-0.1, 0.2), weights[best]
    return replace(taste, categories=tuple(weights), tags=_tag_weights(rng, weights))


def new_viewer(rng: Random, number: int) -> Viewer:
    """The viewer of that number."""
    language = rng.choices(range(len(LANGUAGES)), LANGUAGE_SHARES)[0]
    return Viewer(
        f"viewer_{number:04d}",
        country=rng.choice(COUNTRIES[LANGUAGES[language]]),
        language=language,
        age=rng.choice((15, 19, 24, 29, 35, 42, 51, 63)),
        device=rng.choice(_DEVICES),
        drifts=rng.random() < _DRIFTER_SHARE,
        tells=rng.random() < _TELLS_INTERESTS,
    )


def profile(viewer: Viewer, taste: Taste, created_ms: int) -> Profile:
    """What the viewer tells when signing up: with luck the two categories liked best."""
    best = sorted(range(len(CATEGORIES)), key=taste.categories.__getitem__, reverse=True)[:2]
    return Profile(
        viewer.user_id,
        country=viewer.country,
        language=LANGUAGES[viewer.language],
        age=viewer.age,
        device=viewer.device,
        interests=tuple(CATEGORIES[n] for n in best) if viewer.tells else (),
        created_at=created_ms,
    )
