"""Laws of the day-0 bundle's user tower: a decayed mean, the same in any batch."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from contracts.events import Action
from contracts.models import F32, StepInputs
from contracts.user_record import new_profiles
from model_runtime.text import DIM
from model_runtime.user_mean import DecayedMean, halved
from operators.rounds import rounds
from tests.unit.day0 import BUNDLE, CATEGORIES, catalogue, video


def events(items: F32, actions: Any, shares: Any = np.nan, gaps_s: float = 5.0) -> StepInputs:
    n = len(items)
    return StepInputs(
        items,
        np.broadcast_to(np.asarray(actions, np.uint8), n),
        np.broadcast_to(np.asarray(shares, np.float32), n),
        np.full(n, gaps_s, np.float32),
    )


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
