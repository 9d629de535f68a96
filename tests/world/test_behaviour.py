"""Laws of the behaviour model: taste decides, chance varies, a seed repeats."""

from dataclasses import replace
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.simulator.behaviour import Reaction, appeal, react, seconds_watched
from headrace.simulator.catalogue import Traits, new_creator, new_traits
from headrace.simulator.viewers import Taste, drifted, new_taste, new_viewer, profile
from headrace.simulator.words import CATEGORIES

CREATORS = tuple(f"creator_{n:04d}" for n in range(30))
seeds = st.integers(0, 2**32)


def a_taste(seed: int) -> Taste:
    rng = Random(seed)
    return new_taste(rng, new_viewer(rng, 0).language, CREATORS)


def a_clip(seed: int) -> Traits:
    rng = Random(seed)
    return new_traits(rng, 1, new_creator(rng, rng.randrange(30)))


@given(seeds, seeds)
def test_appeal_is_a_probability(taste: int, clip: int) -> None:
    assert 0.0 < appeal(a_taste(taste), a_clip(clip)) < 1.0


@given(seeds, seeds, st.floats(0.01, 2.0))
def test_a_stronger_taste_for_its_category_makes_a_clip_more_appealing(
    taste: int, clip: int, more: float
) -> None:
    before, traits = a_taste(taste), a_clip(clip)
    weights = list(before.categories)
    weights[traits.category] += more
    after = replace(before, categories=tuple(weights))
    assert appeal(after, traits) > appeal(before, traits)


@given(seeds, seeds)
def test_a_language_that_is_not_understood_makes_a_clip_less_appealing(
    taste: int, clip: int
) -> None:
    traits = a_clip(clip)
    known = replace(a_taste(taste), languages=(traits.language,))
    unknown = replace(known, languages=((traits.language + 1) % 3,))
    assert appeal(known, traits) > appeal(unknown, traits)


@settings(max_examples=20, deadline=None)
@given(seeds)
def test_a_viewer_watches_longer_what_matches_the_taste(seed: int) -> None:
    taste = a_taste(seed)
    rng = Random(seed)
    clips = [a_clip(n) for n in range(400)]
    clips = [replace(clip, seconds=30.0, language=taste.languages[0]) for clip in clips]
    ordered = sorted(clips, key=lambda clip: appeal(taste, clip))

    def mean_seconds(some: list[Traits]) -> float:
        times = [seconds_watched(react(rng, taste, clip), clip) for clip in some for _ in range(5)]
        return float(np.mean(times))

    assert mean_seconds(ordered[-100:]) > 2 * mean_seconds(ordered[:100])


@given(seeds, seeds, seeds)
def test_the_same_seed_gives_the_same_reaction(taste: int, clip: int, chance: int) -> None:
    one = react(Random(chance), a_taste(taste), a_clip(clip))
    two = react(Random(chance), a_taste(taste), a_clip(clip))
    assert one == two


@given(seeds, seeds, seeds)
def test_a_reaction_makes_sense(taste: int, clip: int, chance: int) -> None:
    reaction = react(Random(chance), a_taste(taste), a_clip(clip))
    assert 0.0 <= reaction.share <= 1.0
    assert reaction.clicked or reaction == Reaction(refused=reaction.refused)
    assert not (reaction.liked and reaction.skipped)
    assert reaction.complete or not reaction.followed


@given(seeds)
def test_a_clip_of_another_world_is_hardly_watched_but_never_fails(chance: int) -> None:
    assert 0.0 <= seconds_watched(react(Random(chance), a_taste(chance), None), None) <= 30.0


@given(seeds)
def test_drift_moves_the_favourite_category_and_only_two_weights(seed: int) -> None:
    before = a_taste(seed)
    after = drifted(Random(seed), before)
    changed = [
        n
        for n, (a, b) in enumerate(zip(before.categories, after.categories, strict=True))
        if a != b
    ]
    assert len(changed) == 2
    assert np.argmax(before.categories) != np.argmax(after.categories)


@given(seeds)
def test_a_profile_tells_no_more_than_the_two_favourite_categories(seed: int) -> None:
    rng = Random(seed)
    viewer = new_viewer(rng, 3)
    taste = new_taste(rng, viewer.language, CREATORS)
    told = profile(viewer, taste, 1)
    assert told.user_id == "viewer_0003"
    assert len(told.interests) == (2 if viewer.tells else 0)
    best = max(taste.categories)
    assert not told.interests or CATEGORIES[taste.categories.index(best)] in told.interests


def test_tastes_differ_enough_for_one_list_not_to_please_everyone() -> None:
    clips = [a_clip(n) for n in range(500)]
    scores = np.array([[appeal(a_taste(n), clip) for clip in clips] for n in range(60)])
    own = np.sort(scores, axis=1)[:, -50:].mean()
    common = scores[:, np.argsort(scores.mean(0))[-50:]].mean()
    everything = scores.mean()
    assert own > 2 * common > 2 * everything


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_seconds_watched_is_the_share_of_the_length(share: float) -> None:
    clip = a_clip(1)
    assert seconds_watched(Reaction(share=share), clip) == pytest.approx(share * clip.seconds)
