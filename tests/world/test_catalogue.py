"""What is published: seeded, valid on the wire, and consistent when clips are removed."""

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.videos import decode_video, encode_video
from headrace.simulator.catalogue import Catalogue
from headrace.simulator.plan import Plan
from headrace.simulator.words import CATEGORIES, TOPICS

NOW_MS = 1_700_000_000_000
seeds = st.integers(0, 2**32)


@settings(max_examples=20)
@given(seeds)
def test_the_same_seed_publishes_the_same_clips(seed: int) -> None:
    one, two = Catalogue(seed, 20), Catalogue(seed, 20)
    for _ in range(50):
        assert one.make(NOW_MS, 3.0) == two.make(NOW_MS, 3.0)


@settings(max_examples=20)
@given(seeds)
def test_every_clip_is_valid_on_the_wire(seed: int) -> None:
    catalogue = Catalogue(seed, 20)
    for _ in range(50):
        traits, video = catalogue.make(NOW_MS, 3.0)
        assert decode_video(encode_video(video)) == video
        assert video.video_id == traits.video_id
        assert video.title
        assert set(video.tags) <= {topic.tag for topic in TOPICS[CATEGORIES[traits.category]]}
        assert NOW_MS - 3 * 86_400_000 <= video.published_at <= NOW_MS


def test_hidden_quality_is_not_published() -> None:
    _, video = Catalogue(1, 5).make(NOW_MS)
    assert "quality" not in msgspec.to_builtins(video)


@given(seeds, st.lists(st.integers(0, 39), max_size=30, unique=True))
def test_removed_clips_are_drawn_no_more_but_remembered(seed: int, removed: list[int]) -> None:
    catalogue = Catalogue(seed, 5)
    clips = [catalogue.make(NOW_MS)[0] for _ in range(40)]
    for clip in clips:
        catalogue.add(clip)
    for n in removed:
        catalogue.remove(clips[n].video_id)
    left = [clip for n, clip in enumerate(clips) if n not in removed]
    assert sorted(c.video_id for c in catalogue.published) == [c.video_id for c in left]
    for clip in clips:
        assert catalogue.get(clip.video_id) == clip


def test_tags_are_unique_over_all_categories() -> None:
    tags = [topic.tag for topics in TOPICS.values() for topic in topics]
    assert len(set(tags)) == len(tags) == 6 * len(TOPICS)


@given(seeds)
def test_every_role_has_random_numbers_of_its_own(seed: int) -> None:
    plan = Plan(seed=seed)
    draws = {plan.rng(role, n).random() for role in ("viewer", "random") for n in range(5)}
    assert len(draws) == 10
    assert plan.rng("viewer", 3).random() == plan.rng("viewer", 3).random()
