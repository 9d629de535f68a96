"""Laws of the day-0 bundle's item tower: a vector from words, or from a given embedding."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.errors import BadMessageError
from contracts.videos import Video
from model_runtime.item_tower import HashedItems
from model_runtime.text import DIM
from tests.unit.day0 import BUNDLE, catalogue, video

texts = st.text(max_size=30)
any_video = st.builds(
    lambda i, title, description, tags, category, language, creator: Video(
        video_id=i or "v",
        published_at=1,
        title=title,
        description=description,
        tags=tuple(tags),
        category=category,
        language=language,
        creator_id=creator or None,
    ),
    *[texts, texts, texts, st.lists(texts.filter(bool), max_size=4)],
    st.none() | texts,
    st.none() | texts,
    texts,
)


@settings(max_examples=50, deadline=None)
@given(st.lists(any_video, max_size=6))
def test_every_video_has_a_unit_vector_whatever_its_words_are(videos: list[Video]) -> None:
    out = BUNDLE.items.embed(videos)
    assert out.shape == (len(videos), DIM)
    assert out.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(out, axis=1), 1, rtol=1e-5)


@settings(max_examples=25, deadline=None)
@given(st.lists(any_video, min_size=2, max_size=6))
def test_a_video_has_the_same_vector_in_any_batch(videos: list[Video]) -> None:
    alone = np.concatenate([BUNDLE.items.embed([one]) for one in videos])
    np.testing.assert_array_equal(BUNDLE.items.embed(videos), alone)


def test_many_videos_are_cut_into_slices_without_a_trace() -> None:
    videos = [video(i, title=" ".join(f"w{i}x{k}" for k in range(60))) for i in range(400)]
    whole = BUNDLE.items.embed(videos)
    np.testing.assert_array_equal(whole[399:], BUNDLE.items.embed(videos[399:]))


def test_videos_of_one_category_are_closer_to_each_other_than_to_others() -> None:
    videos, category = catalogue(400)
    vectors = BUNDLE.items.embed(videos)
    cosine = vectors @ vectors.T
    same = category[:, None] == category[None]
    np.fill_diagonal(cosine, -2)
    nearest = np.argsort(-cosine, axis=1)[:, :10]
    assert (category[nearest] == category[:, None]).mean() > 0.99
    assert cosine[same & (cosine > -2)].mean() > cosine[~same].mean() + 0.3


def test_titles_tags_and_ids_still_tell_videos_of_a_category_apart() -> None:
    same = {"category": "cooking", "language": "de", "creator_id": "c"}
    pasta, pasta_too, cake, twin = BUNDLE.items.embed(
        [
            video(1, title="fresh pasta at home", tags=("pasta",), **same),
            video(2, title="pasta at home", tags=("pasta",), **same),
            video(3, title="chocolate cake", tags=("baking",), **same),
            video(4, title="chocolate cake", tags=("baking",), **same),
        ]
    )
    assert pasta @ pasta_too > pasta @ cake + 0.1
    assert cake @ twin < 1 - 1e-4


def test_a_search_and_an_interest_point_to_their_category() -> None:
    videos, category = catalogue(160)
    vectors = BUNDLE.items.embed(videos)
    for text, wanted in (("Cooking", 0), ("street food", 4), ("best jazz", 5)):
        near = np.argsort(-(vectors @ BUNDLE.items.embed_texts([text])[0]))[:5]
        assert (category[near] == wanted).mean() >= 0.8, text
    both = BUNDLE.items.embed_texts([" ".join(["cooking", "street food"])])[0]
    nearest = category[np.argsort(-(vectors @ both))[:20]]
    assert np.isin(nearest, (0, 4)).mean() >= 0.8


def test_a_text_without_words_says_nothing() -> None:
    assert not BUNDLE.items.embed_texts(["", "?!"]).any()
    assert BUNDLE.items.embed_texts([]).shape == (0, DIM)
    assert BUNDLE.items.embed([]).shape == (0, DIM)


@pytest.mark.parametrize("size", [1, 3, 64, 65, 768, 4096])
def test_a_given_embedding_of_any_size_keeps_its_neighbours(size: int) -> None:
    rng = np.random.default_rng(size)
    base = rng.standard_normal(size) * 1e30
    near, far = base * 1.01, -base
    tower = HashedItems()
    vectors = tower.embed(
        [video(i, embedding=tuple(e.tolist())) for i, e in enumerate((base, near, far))]
    )
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
    assert vectors[0] @ vectors[1] > 0.95 > -0.8 > vectors[0] @ vectors[2]


def test_an_embedding_of_another_size_is_refused_and_named() -> None:
    tower = HashedItems()
    tower.embed([video(1, embedding=(0.5, 0.5))])
    with pytest.raises(BadMessageError, match="3 numbers; this deployment has 2"):
        tower.embed([video(2, embedding=(1.0, 2.0, 3.0))])
    with pytest.raises(BadMessageError, match="has 8"):
        HashedItems(embedding_size=8).embed([video(1, embedding=(0.5, 0.5))])
    with pytest.raises(BadMessageError, match="finite"):
        tower.embed([video(3, embedding=(float("nan"), 1.0))])


def test_a_refused_first_embedding_does_not_set_the_size() -> None:
    tower = HashedItems()
    with pytest.raises(BadMessageError):
        tower.embed([video(1, embedding=(1.0, 2.0)), video(2, embedding=(1.0,))])
    assert tower.embed([video(3, embedding=(1.0, 2.0, 3.0))]).any()


def test_an_embedding_of_zeros_is_none_and_the_words_speak() -> None:
    plain, zeros = video(1, title="pasta"), video(1, title="pasta", embedding=(0.0, 0.0))
    np.testing.assert_array_equal(HashedItems().embed([plain]), HashedItems().embed([zeros]))
