"""The day-0 bundle: towers and ranker that need no training."""

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from contracts.batch import CandidateBatch
from contracts.errors import BadMessageError
from contracts.events import Action
from contracts.features import FEATURE_COLUMNS
from contracts.models import F32, StepInputs
from contracts.user_record import new_profiles
from contracts.videos import Video
from model_runtime.day0 import Day0
from model_runtime.item_tower import HashedItems
from model_runtime.linear_ranker import HEADS, Head, LinearRanker
from model_runtime.text import DIM, Kind, label, phrases, signs, token, trigrams, words
from model_runtime.user_mean import DecayedMean, halved
from operators.rounds import rounds

BUNDLE = Day0().bundle()
CATEGORIES = ("cooking", "football", "chess", "travel", "street food", "jazz", "physics", "cats")


def video(i: int, **more: Any) -> Video:
    return Video(video_id=f"v{i}", published_at=1_700_000_000_000, **more)


def catalogue(n: int) -> tuple[list[Video], np.ndarray[Any, Any]]:
    """`n` videos of all categories in turn; titles, tags and creators are shared across them."""
    rng = np.random.default_rng(7)
    videos = [
        video(
            i,
            title=f"clip about {rng.integers(60)} and {rng.integers(60)}",
            tags=(f"tag{rng.integers(20)}",),
            category=CATEGORIES[i % len(CATEGORIES)],
            creator_id=f"c{rng.integers(40)}",
            language="de",
        )
        for i in range(n)
    ]
    return videos, np.arange(n) % len(CATEGORIES)


def events(items: F32, actions: Any, shares: Any = np.nan, gaps_s: float = 5.0) -> StepInputs:
    n = len(items)
    return StepInputs(
        items,
        np.broadcast_to(np.asarray(actions, np.uint8), n),
        np.broadcast_to(np.asarray(shares, np.float32), n),
        np.full(n, gaps_s, np.float32),
    )


# --- text ------------------------------------------------------------------------------------


def test_words_ignore_case_order_of_forms_and_repeats() -> None:
    assert words("Crème brûlée: the CRÈME!", 100) == ["crème", "brûlée", "the"]
    assert words("\uff26\uff4f\uff4f foo", 100) == ["foo"]
    assert words("", 100) == words("!?", 100) == []


def test_labels_of_one_meaning_are_one_label() -> None:
    assert label("Street_Food ") == label("street food") == label("street-food") == "street food"
    assert label(None) == label("--") == ""


def test_phrases_and_trigrams_of_nothing_are_nothing() -> None:
    assert phrases([]) == trigrams([]) == []
    assert phrases(["a", "b", "c"]) == ["a", "b", "c", "a b", "b c"]
    assert trigrams(["cat"]) == [" ca", "cat", "at "]


def test_a_token_is_the_same_direction_in_every_process() -> None:
    code = (
        "from model_runtime.day0 import Day0;from contracts.videos import Video;"
        "v=Video(video_id='x',published_at=1,title='déjà vu',tags=('a','b'),category='c');"
        "print(Day0().bundle().items.embed([v]).tobytes().hex())"
    )
    runs = [
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert runs[0] == runs[1]
    # Stored vectors depend on these bits: if they change, the bundle needs another id.
    assert token(Kind.WORD, "cat") == 0xA0119F90ECB52C2D


def test_signs_are_the_bits_of_the_hash() -> None:
    out = signs(np.array([0, 2**64 - 1], np.uint64))
    assert out.shape == (2, DIM)
    assert (out[0] == -1).all()
    assert (out[1] == 1).all()


# --- item tower ------------------------------------------------------------------------------

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


# --- user tower ------------------------------------------------------------------------------

n_users = st.integers(1, 5)


@st.composite
def steps(draw: st.DrawFn) -> tuple[F32, StepInputs]:
    n = draw(n_users)
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    floats = st.floats(0, 1e9, width=32) | st.just(np.nan) | st.just(np.inf) | st.just(-1.0)
    items = rng.standard_normal((n, DIM)).astype(np.float32)
    items[rng.random(n) < 0.2] = 0
    return rng.standard_normal((n, DIM)).astype(np.float32), StepInputs(
        items,
        draw(hnp.arrays(np.uint8, n, elements=st.integers(0, 255))),
        draw(hnp.arrays(np.float32, n, elements=floats)),
        draw(hnp.arrays(np.float32, n, elements=floats)),
    )


@settings(max_examples=100, deadline=None)
@given(steps(), st.randoms(use_true_random=False))
def test_a_step_does_not_depend_on_who_else_is_in_the_batch(
    case: tuple[F32, StepInputs], random: Any
) -> None:
    state, inputs = case
    n = len(state)
    rows = [random.randrange(n) for _ in range(random.choice([1, 2, 3, 17, 300]))]
    part = StepInputs(
        inputs.items[rows], inputs.actions[rows], inputs.shares[rows], inputs.gaps_s[rows]
    )
    whole = BUNDLE.users.step(state, inputs)
    assert np.isfinite(whole).all()
    assert BUNDLE.users.step(state[rows], part).tobytes() == whole[rows].tobytes()
    read = BUNDLE.users.read_out(whole)
    assert BUNDLE.users.read_out(whole[rows]).tobytes() == read[rows].tobytes()
    assert BUNDLE.users.read_out(np.asfortranarray(whole)).tobytes() == read.tobytes()


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 5), max_size=40), st.integers(0, 2**32 - 1))
def test_rounds_of_steps_are_one_step_after_the_other_bit_for_bit(
    people: list[int], seed: int
) -> None:
    rng, n = np.random.default_rng(seed), len(people)
    plan = rounds(np.array(people, np.intp))
    inputs = StepInputs(
        rng.standard_normal((n, DIM)).astype(np.float32),
        rng.integers(0, 15, n).astype(np.uint8),
        rng.random(n).astype(np.float32),
        rng.exponential(1e5, n).astype(np.float32),
    )
    state = rng.standard_normal((len(plan.users), DIM)).astype(np.float32)
    alone = state.copy()
    for part in plan:
        one = StepInputs(
            inputs.items[part], inputs.actions[part], inputs.shares[part], inputs.gaps_s[part]
        )
        m = part.stop - part.start
        alone[:m] = BUNDLE.users.step(alone[:m], one)
    assert BUNDLE.users.steps(state, inputs, plan.starts).tobytes() == alone.tobytes()


@settings(max_examples=50, deadline=None)
@given(steps())
def test_a_step_changes_neither_the_state_nor_the_inputs(case: tuple[F32, StepInputs]) -> None:
    state, inputs = case
    before = state.copy(), inputs.items.copy()
    BUNDLE.users.step(state, inputs)
    np.testing.assert_array_equal(state, before[0])
    np.testing.assert_array_equal(inputs.items, before[1])


@settings(max_examples=50, deadline=None)
@given(steps())
def test_vectors_are_of_unit_length_and_nobody_known_is_zero(case: tuple[F32, StepInputs]) -> None:
    state, inputs = case
    state[0] = 0
    inputs.items[0] = 0
    out = BUNDLE.users.read_out(BUNDLE.users.step(state, inputs))
    assert not out[0].any()
    norms = np.linalg.norm(out, axis=1)
    np.testing.assert_allclose(norms[norms > 0], 1, rtol=1e-5)


@pytest.mark.parametrize("history", [[], ["football"] * 200, ["chess", "jazz"] * 50])
def test_three_complete_watches_of_a_category_put_its_videos_nearest(history: list[str]) -> None:
    videos, category = catalogue(400)
    vectors = BUNDLE.items.embed(videos)
    state = BUNDLE.users.init(new_profiles(1), np.zeros((1, DIM), np.float32))
    rng = np.random.default_rng(3)
    for name in [*history, "cooking", "cooking", "cooking"]:
        row = rng.choice(np.flatnonzero(category == CATEGORIES.index(name)))
        state = BUNDLE.users.step(state, events(vectors[row][None], Action.WATCH, 1.0))
    nearest = np.argsort(-(vectors @ BUNDLE.users.read_out(state)[0]))[:20]
    assert (category[nearest] == 0).mean() >= 0.9


LIKED = (Action.CLICK, Action.WATCH, Action.LIKE, Action.SHARE, Action.COMMENT, Action.FOLLOW)
DISLIKED = (Action.SKIP, Action.NOT_INTERESTED, Action.UNLIKE, Action.UNFOLLOW)


@pytest.mark.parametrize("action", list(Action), ids=lambda a: a.name)
def test_each_action_moves_the_viewer_the_way_it_means(action: Action) -> None:
    item, other = BUNDLE.items.embed([video(1, category="jazz"), video(2, category="chess")])
    after = BUNDLE.users.step(other[None], events(item[None], action))[0]
    moved = float(after @ item - other @ item)
    if action in (*LIKED, Action.SEARCH):
        assert moved > 0.1
    elif action in DISLIKED:
        assert moved < -0.1
    else:
        assert abs(moved) < 1e-3


def test_the_more_of_a_video_is_watched_the_more_it_weighs_up_to_a_bound() -> None:
    item = np.eye(1, DIM, dtype=np.float32)
    weigh = [
        float(BUNDLE.users.step(np.zeros_like(item), events(item, Action.WATCH, share))[0, 0])
        for share in (0.0, 0.25, 1.0, 1.5, 100.0, np.inf)
    ]
    assert weigh[0] == 0 < weigh[1] < weigh[2] < weigh[3] == weigh[4] == weigh[5]


def test_the_state_stays_bounded_and_a_long_absence_keeps_the_taste() -> None:
    item = np.eye(1, DIM, dtype=np.float32)
    state = np.zeros_like(item)
    for _ in range(2000):
        state = BUNDLE.users.step(state, events(item, Action.SHARE, gaps_s=0.0))
    assert 1 < state[0, 0] < 10
    away = events(np.zeros_like(item), Action.HOVER, gaps_s=3e9)
    np.testing.assert_array_equal(
        BUNDLE.users.read_out(BUNDLE.users.step(state, away)), BUNDLE.users.read_out(state)
    )


def test_onboarding_interests_are_the_first_vector() -> None:
    interests = BUNDLE.items.embed_texts(["jazz"])
    state = BUNDLE.users.init(new_profiles(1), interests)
    assert state is not interests
    assert state.shape == (1, BUNDLE.users.hidden)
    np.testing.assert_allclose(BUNDLE.users.read_out(state), interests, atol=1e-6)


@settings(max_examples=50)
@given(st.floats(0, 1000))
def test_halving_agrees_with_the_power_of_two(x: float) -> None:
    assert halved(np.array([x]))[0] == pytest.approx(2.0**-x, rel=1e-8)


def test_a_tower_of_another_size_works_the_same() -> None:
    tower = DecayedMean(5)
    out = tower.read_out(tower.step(np.ones((2, 5), np.float32), events(np.ones((2, 5)), 1)))  # type: ignore[arg-type]
    np.testing.assert_allclose(np.linalg.norm(out, axis=1), 1, rtol=1e-6)


# --- ranker ----------------------------------------------------------------------------------


def batch(n: int, **columns: Any) -> CandidateBatch:
    filled = {spec.name: spec.filled(n) for spec in FEATURE_COLUMNS}
    filled |= {k: np.asarray(v, np.float32) for k, v in columns.items()}
    return CandidateBatch(np.arange(n), np.zeros(n, np.uint32), filled)


def test_where_nothing_is_known_each_head_says_its_prior() -> None:
    out = BUNDLE.ranker.predict(batch(3))
    assert list(out) == [spec.name for spec in BUNDLE.ranker.provides] == list(HEADS)
    for spec in BUNDLE.ranker.provides:
        assert out[spec.name].dtype == np.float32
        np.testing.assert_allclose(out[spec.name], spec.filled(3), rtol=1e-6)


def test_a_closer_video_is_clicked_more_and_skipped_less() -> None:
    out = BUNDLE.ranker.predict(batch(2, cosine=[0.1, 0.8]))
    for head in ("p_click", "p_complete", "p_like", "watch_s"):
        assert out[head][1] > out[head][0]
    for head in ("p_skip", "p_not_interested"):
        assert out[head][1] < out[head][0]


@settings(max_examples=50, deadline=None)
@given(st.data(), st.integers(0, 6))
def test_predictions_are_probabilities_and_judge_each_row_alone(
    data: st.DataObject, n: int
) -> None:
    columns = {
        spec.name: data.draw(hnp.arrays(np.float32, n, elements=st.floats(width=32)))
        for spec in FEATURE_COLUMNS
    }
    whole = batch(n, **columns)
    out = BUNDLE.ranker.predict(whole)
    back = BUNDLE.ranker.predict(whole.take(np.arange(n)[::-1]))
    for spec in BUNDLE.ranker.provides:
        column = out[spec.name]
        top = HEADS[spec.name].scale
        assert column.shape == (n,)
        assert ((column >= 0) & (column <= top)).all()
        np.testing.assert_array_equal(back[spec.name][::-1], column)


def test_the_ranker_names_the_columns_it_reads_and_reads_no_other() -> None:
    names = BUNDLE.ranker.features
    assert set(names) <= {spec.name for spec in FEATURE_COLUMNS}
    full = batch(4)
    only = CandidateBatch(full.ids, full.sources, {name: full[name] for name in names})
    assert set(BUNDLE.ranker.predict(only)) == set(HEADS)


@pytest.mark.parametrize(
    ("heads", "reason"),
    [
        ({**HEADS, "p_click": Head(0.1, {"karma": 1.0})}, "karma"),
        ({**HEADS, "p_click": Head(1.0, {})}, "p_click"),
        ({"p_click": Head(0.1, {})}, "p_complete"),
    ],
)
def test_heads_that_cannot_be_served_are_refused_by_name(
    heads: dict[str, Head], reason: str
) -> None:
    with pytest.raises(ValueError, match=reason):
        LinearRanker(heads)
