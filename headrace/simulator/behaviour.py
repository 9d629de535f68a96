"""How a viewer of a hidden taste reacts to a clip. Pure: randomness comes in as an argument.

The same model answers for what the engine served and for clips drawn at random, so that the ratio
of the two says something about the engine and not about the model.
"""

from dataclasses import dataclass
from math import exp, log
from random import Random
from typing import Final

from headrace.simulator.catalogue import Traits
from headrace.simulator.viewers import Taste

COMPLETE: Final = 0.9  # a share watched that counts as complete, as in the engine's statistics
_BIAS: Final = -1.1
_CATEGORY: Final = 2.2
_TAG: Final = 0.9
_CREATOR: Final = 0.8
_QUALITY: Final = 0.45
_LENGTH: Final = 0.5
_FOREIGN: Final = -2.5  # of a language that is not understood
_SPREAD: Final = 4.0  # of the beta distribution of shares: two watches of one clip differ


@dataclass(frozen=True, slots=True)
class Reaction:
    """What one viewer did with one clip. All False and 0.0: scrolled past it."""

    share: float = 0.0
    clicked: bool = False
    liked: bool = False
    shared: bool = False
    followed: bool = False
    skipped: bool = False
    refused: bool = False

    @property
    def complete(self) -> bool:
        """Was it watched to the end, or nearly?"""
        return self.share >= COMPLETE


def appeal(taste: Taste, traits: Traits | None) -> float:
    """Probability-like pull of a clip in (0, 1); None is a clip that this world did not make.

    A logit of the taste's weights: monotone in each of them, so a better match is never watched
    less on average.
    """
    if traits is None:
        return _sigmoid(_BIAS + _FOREIGN)
    tags = sum(taste.tags.get(tag, 0.0) for tag in traits.tags)
    length = min((log(traits.seconds) - taste.log_seconds) ** 2, 4.0)
    return _sigmoid(
        _BIAS
        + _CATEGORY * taste.categories[traits.category]
        + _TAG * tags
        + _CREATOR * taste.creators.get(traits.creator_id, 0.0)
        + _QUALITY * traits.quality
        - _LENGTH * length
        + (0.0 if traits.language in taste.languages else _FOREIGN)
    )


def react(rng: Random, taste: Taste, traits: Traits | None) -> Reaction:
    """One reaction. Draws the same number of random numbers whatever happens but for the share."""
    pull = appeal(taste, traits)
    click, like, share, follow, skip, refuse = (rng.random() for _ in range(6))
    if click >= 0.08 + 0.9 * pull:
        return Reaction(refused=refuse < 0.012 * (1.0 - pull) ** 4)
    watched = rng.betavariate(_SPREAD * (0.05 + 0.9 * pull), _SPREAD * (0.95 - 0.9 * pull))
    watched = 1.0 if watched > 0.93 else watched
    skipped = watched < 0.12 and skip < 0.8
    return Reaction(
        share=watched,
        clicked=True,
        liked=not skipped and like < 0.35 * pull * watched,
        shared=share < 0.05 * pull * watched,
        followed=watched >= COMPLETE and follow < 0.1 * pull,
        skipped=skipped,
        refused=skipped and refuse < 0.08,
    )


def seconds_watched(reaction: Reaction, traits: Traits | None) -> float:
    """Seconds; a clip that this world did not make is taken as 30 seconds long."""
    return reaction.share * (traits.seconds if traits else 30.0)


def _sigmoid(x: float) -> float:
    return 1.0 / (1.0 + exp(-x))
