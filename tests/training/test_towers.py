"""The towers: what is trained in parallel is what the engine steps, whatever the configuration."""

import itertools
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from contracts.errors import BundleError
from contracts.events import SECONDS_BELOW
from contracts.ids import pack_country, pack_language, pack_name
from contracts.models import MOMENT, StepInputs
from contracts.profiles import Profile
from contracts.settings import ModelSettings
from contracts.user_record import new_profiles
from contracts.videos import Video
from model_runtime import learned
from model_runtime.forms import Block, ItemForm, UserForm
from model_runtime.halves import from_halves, to_halves
from model_runtime.item_facts import facts
from model_runtime.learned import Towers
from model_runtime.learned_items import LearnedItems
from model_runtime.manifest import Manifest
from model_runtime.recurrent_users import TILE, RecurrentUsers
from model_runtime.signals import gap_buckets, signals
from model_runtime.told import CONTEXT, PROFILE, rows_of
from model_runtime.training.config import Items, Users
from model_runtime.training.item_tower import ItemTower, weights_of
from model_runtime.training.scan import doubling_scan, linear_scan
from model_runtime.training.user_tower import Events, UserTower
from operators.profile_fold import tell
from operators.rounds import rounds
from tests.training.drawn import ALL, DIM, drawn, stepped

torch.set_num_threads(1)  # what is tested is small: a second thread only waits for the first
FORMS = [
    {"cell": cell, "block": block, "taps": taps, "context": context, "profile": profile}
    for cell, block, taps, context, profile in [
        ("rg_lru", "none", 4, tuple(CONTEXT), tuple(PROFILE)), ("rg_lru", "mlp", 1, (), ()),
        ("min_gru", "cross", 3, ("surface", "hour"), ()), ("lru", "none", 2, (), ("interests",)),
    ]
]  # fmt: skip
NAMES = [None, "DE", "us", "de-AT", "phone", "tab_1", "wifi", "cooking", "chess"]


def inputs(n: int, seed: int = 0) -> StepInputs:
    rng = np.random.default_rng(seed)
    items = rng.standard_normal((n, DIM)).astype(np.float32)
    items /= np.linalg.norm(items, axis=1, keepdims=True)
    items[rng.random(n) < 0.1] = 0
    shares = np.where(rng.random(n) < 0.3, np.nan, rng.random(n) * 1.5).astype(np.float32)
    return StepInputs(
        items, rng.integers(0, 15, n).astype(np.uint8), shares,
        rng.exponential(5000, n).astype(np.float32), moments(n, seed),
    )  # fmt: skip


def moments(n: int, seed: int = 0) -> np.ndarray:
    rng, told = np.random.default_rng(seed), np.zeros(n, MOMENT)
    told["ts_ms"] = rng.integers(0, 2 * 10**12, n)
    names = rng.choice(np.array(NAMES), (4, n))
    told["country"] = [pack_country(name) for name in names[0]]
    told["spoken"] = [pack_language(name) for name in names[1]]
    for field, some in zip(("device", "connection", "surface"), names[1:], strict=True):
        told[field] = [pack_name(name) for name in some]
    return told


def profiles(n: int, seed: int = 0) -> np.ndarray:
    """Every third person told us nothing."""
    rng, told = np.random.default_rng(seed), new_profiles(n)
    for i in range(n):
        if i % 3:
            a, b, c = (rng.choice(np.array(NAMES)) for _ in range(3))
            age = int(rng.integers(0, 90)) if i % 2 else None
            likes = tuple({name for name in (a, b, c) if name})
            tell(told[i], Profile(f"u{i}", a, b, age, device=c, interests=likes))
    return told


def take(whole: StepInputs, rows: np.ndarray) -> StepInputs:
    return StepInputs(
        whole.items[rows], whole.actions[rows], whole.shares[rows], whole.gaps_s[rows],
        None if whole.moments is None else whole.moments[rows],
    )  # fmt: skip


def in_parallel(
    tower: UserTower, whole: StepInputs, lengths: list[int], told: np.ndarray
) -> np.ndarray:
    """(n, d) after each event; people who told us something have a row more, which is left out."""
    config = tower.config
    profile = rows_of(PROFILE, config.profile, told)
    tells = np.asarray(profile.any(axis=1))
    position = np.concatenate([np.arange(k + t) for k, t in zip(lengths, tells, strict=True)])
    begins = np.flatnonzero(position == 0)[tells]
    real = np.ones(len(position), bool)
    real[begins] = False
    event = np.where(real, np.cumsum(real) - 1, 0)
    rows = take(whole, event)
    assert rows.moments is not None
    with torch.no_grad():
        vectors: np.ndarray = tower(Events(
            torch.from_numpy(rows.items),
            torch.from_numpy(signals(rows.actions, rows.shares)),
            torch.from_numpy(gap_buckets(rows.gaps_s)),
            torch.from_numpy(position), int(position.max()) + 1,
            torch.from_numpy(rows_of(CONTEXT, config.context, rows.moments)),
            torch.from_numpy(begins), torch.from_numpy(profile[tells]),
        )).numpy()  # fmt: skip
    return vectors[real]


@pytest.mark.parametrize("form", FORMS, ids=lambda f: "-".join(map(str, f.values())))
def test_a_step_at_a_time_gives_the_vectors_of_the_whole_sequence(form: dict[str, Any]) -> None:
    config = Users(state="float32", inner=32, width=48, heads=3, layers=3, **form)
    tower, lengths = drawn(config), [1, 120, 7, 33]
    users, whole = stepped(config, tower), inputs(sum(lengths))
    told = profiles(4)
    parallel = in_parallel(tower, whole, lengths, told)
    for i, (first, k) in enumerate(zip(np.cumsum([0, *lengths]), lengths, strict=False)):
        state = users.init(told[[i]], np.zeros((1, DIM), np.float32))
        for row in range(first, first + k):
            state = users.step(state, take(whole, np.array([row])))
            assert np.abs(users.read_out(state)[0] - parallel[row]).max() < 1e-4


@given(hnp.arrays(np.float32, 40, elements=st.floats(-65504, 65504, width=32)))
def test_halves_are_as_near_as_those_of_numpy(x: np.ndarray) -> None:
    halves, theirs = to_halves(x).view(np.float16), x.astype(np.float16)
    off = np.abs(halves.astype(np.float64) - x)
    np.testing.assert_array_equal(off, np.abs(theirs.astype(np.float64) - x))
    np.testing.assert_array_equal(np.signbit(halves), np.signbit(x))


def test_every_half_is_read_as_numpy_reads_it_and_written_again_as_it_was() -> None:
    halves = np.arange(1 << 16, dtype=np.uint16)
    halves = halves[np.isfinite(halves.view(np.float16))]
    read = from_halves(halves)
    np.testing.assert_array_equal(read, halves.view(np.float16).astype(np.float32))
    np.testing.assert_array_equal(to_halves(read), halves)


def test_what_is_too_large_for_a_half_becomes_the_largest() -> None:
    held = from_halves(to_halves(np.array([1e6, -np.inf, np.nan], np.float32)))
    assert held.tolist() == [65504, -65504, 65504]


def test_a_state_of_half_the_bytes_gives_nearly_the_same_vectors() -> None:
    config = Users(state="float16")
    tower, whole = drawn(config), inputs(300)
    users = stepped(config, tower)
    state = users.init(new_profiles(1), np.zeros((1, DIM), np.float32))
    assert users.hidden == config.numbers / 2
    for row in range(300):
        state = users.step(state, take(whole, np.array([row])))
    cosine = float(users.read_out(state)[0] @ in_parallel(tower, whole, [300], new_profiles(1))[-1])
    assert cosine > 0.999


@pytest.mark.parametrize("form", FORMS, ids=lambda f: "-".join(map(str, f.values())))
def test_a_batch_cut_anywhere_steps_to_the_same_bytes(form: dict[str, Any]) -> None:
    config = Users(**form)
    users, rng = stepped(config, drawn(config)), np.random.default_rng(1)
    n, people = 200, 60
    person, whole = rng.integers(0, people, n), inputs(n)
    start = users.init(profiles(people), inputs(people, 5).items)
    for cuts in ([0, n], [0, 1, 2, n], [0, 63, 64, 129, n], list(range(n + 1))):
        state = start.copy()
        for a, b in itertools.pairwise(cuts):
            plan = rounds(person[a:b])
            rows = a + plan.order
            state[plan.users] = users.steps(state[plan.users], take(whole, rows), plan.starts)
        if len(cuts) == 2:
            expected = state.tobytes()
        assert state.tobytes() == expected


@given(st.integers(1, 3 * TILE), st.randoms())
def test_who_else_is_in_the_batch_changes_nobody(n: int, random: object) -> None:
    order = np.arange(n)
    random.shuffle(order)  # type: ignore[attr-defined]
    state, whole = USERS.init(profiles(n), inputs(n, 3).items), inputs(n, 4)
    after = USERS.step(state, whole)
    assert USERS.step(state[order], take(whole, order)).tobytes() == after[order].tobytes()
    assert USERS.read_out(after[order]).tobytes() == USERS.read_out(after)[order].tobytes()


def test_nobody_known_has_no_vector_and_interests_give_one() -> None:
    interests = np.zeros((2, DIM), np.float32)
    interests[1, 3] = 1
    plain = stepped(Users(), drawn(Users()))
    vectors = plain.read_out(plain.init(new_profiles(2), interests))
    assert not vectors[0].any()
    assert np.linalg.norm(vectors[1]) == pytest.approx(1, abs=1e-5)


def test_who_told_something_begins_with_a_vector_and_who_differs_with_another() -> None:
    told = new_profiles(4)
    for i, likes in ((1, "cooking"), (2, "chess"), (3, "chess")):
        tell(told[i], Profile("u", interests=(likes,)))
    vectors = USERS.read_out(USERS.init(told, np.zeros((4, DIM), np.float32)))
    assert not vectors[0].any()
    assert np.abs(vectors[1] - vectors[2]).max() > 0.01
    np.testing.assert_array_equal(vectors[2], vectors[3])


@pytest.mark.parametrize("name", CONTEXT)
def test_every_context_that_is_read_moves_the_state(name: str) -> None:
    users = stepped(Users(context=(name,)), drawn(Users(context=(name,))))
    told, other = (np.zeros(1, MOMENT) for _ in range(2))
    for fields, (day, language, some) in ((told, (1, "de", 7)), (other, (2, "en", 8))):
        fields["ts_ms"] = day * 90_000_000
        fields["country"], fields["spoken"] = (pack_language(language),) * 2
        fields["device"] = fields["connection"] = fields["surface"] = some
    after = [
        users.step(np.zeros((1, users.hidden), np.float32), replace(inputs(1), moments=moment))
        for moment in (told, other, np.zeros(1, MOMENT))
    ]
    assert len({state.tobytes() for state in after}) == 3


def test_a_tower_is_told_by_name_what_its_bundle_wants_and_is_not_there() -> None:
    config = Users(context=("hour",))
    weights = {name: p.detach().numpy() for name, p in drawn(config).named_parameters()}
    forms = msgspec.json.encode(Towers(UserForm(context=("hour",)), ItemForm()))
    with pytest.raises(ValueError, match=r"context 'weather' is not told here: there are hour"):
        UserForm(context=("hour", "weather"))
    found = Manifest("other", "two_tower", 2, DIM, 256, (), {})
    files = {"towers.json": forms.replace(b'"hour"', b'"weather"'), "users.safetensors": b"",
             "items.safetensors": b""}  # fmt: skip
    with pytest.raises(BundleError, match=r"'other'.*'weather' is not told here"):
        learned.load(found, files, ModelSettings())
    with pytest.raises(ValueError, match="table of the context has 25 rows, its names have 677"):
        RecurrentUsers(UserForm(context=("country",)), weights)


def test_what_is_not_a_number_leaves_a_state_that_is() -> None:
    bad = StepInputs(
        np.full((3, DIM), np.nan, np.float32), np.array([255, 0, 14], np.uint8),
        np.array([np.inf, -np.inf, 1e30], np.float32), np.array([np.nan, np.inf, -5], np.float32),
    )  # fmt: skip
    state = USERS.step(np.zeros((3, USERS.hidden), np.float32), bad)
    assert np.isfinite(USERS.read_out(state)).all()


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
def test_both_scans_are_the_plain_loop_and_have_its_gradient(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    decay = torch.rand(23, 3, dtype=dtype) * 0.9
    decay[[0, 5, 6]] = 0
    drive = torch.randn(23, 3, dtype=dtype)
    plain = [drive[0]]
    for a, b in zip(decay[1:], drive[1:], strict=True):
        plain.append(a * plain[-1] + b)
    for scan in (linear_scan, doubling_scan):
        torch.testing.assert_close(scan(decay, drive, 17), torch.stack(plain))
    moving = decay.clone().requires_grad_(), drive.clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda a, b: linear_scan(a, b, 17), moving)


def videos(n: int, embedding: int = 0) -> list[Video]:
    rng = np.random.default_rng(0)
    return [
        Video(
            f"v{i}", 1_600_000_000_000 + i, f"word{i % 5} film {i}", tags=(f"tag{i % 3}",), language="de",
            category=f"c{i % 4}", creator_id=f"by{i % 6}", duration_ms=i * 1000, min_age=i % 19,
            embedding=tuple(rng.standard_normal(embedding).tolist()) if embedding else None,
        )
        for i in range(n - 1)
    ] + [Video("bare", 1)]  # fmt: skip


@pytest.mark.parametrize("block", ["none", "mlp", "cross"])
@pytest.mark.parametrize("size", [0, 20])
def test_the_engine_embeds_a_video_as_training_did(block: Block, size: int) -> None:
    torch.manual_seed(0)
    known, met = videos(30, size), np.arange(30) % 3 > 0
    tower = ItemTower(Items(block=block, buckets=512), known, met).eval()
    with torch.no_grad():
        for p in tower.parameters():
            p.add_(0.05 * torch.randn(p.shape))
        expected = tower(torch.arange(30)).numpy()
    served = LearnedItems(ItemForm(block=block, buckets=512), weights_of(tower))
    np.testing.assert_allclose(served.embed(known), expected, atol=1e-5)


SHAKEN = LearnedItems(ItemForm(buckets=64), {
    name: np.random.default_rng(3).standard_normal(of.shape).astype(np.float32)
    for name, of in weights_of(ItemTower(Items(buckets=64), videos(3), np.ones(3, bool))).items()
})  # fmt: skip


@given(st.integers(SECONDS_BELOW, 1000 * SECONDS_BELOW - 1))
def test_a_videos_vector_does_not_depend_on_the_unit_of_its_time(at_ms: int) -> None:
    one = Video("v", at_ms, "pasta")
    seconds = msgspec.structs.replace(one, published_at=at_ms // 1000)
    np.testing.assert_array_equal(SHAKEN.embed([one]), SHAKEN.embed([seconds]))


def test_every_year_from_1970_to_2047_has_its_own_row_and_later_ones_the_last() -> None:
    begins = [int(datetime(year, 1, 1, tzinfo=UTC).timestamp()) for year in range(1970, 2050)]
    videos = [Video("v", max(at_s, 1)) for at_s in begins]
    assert facts(videos, 64).year.tolist() == [*range(50, 128), 127, 127]
    ends = [Video("v", at_s - 1) for at_s in begins[1:]]
    assert facts(ends, 64).year.tolist() == [*range(50, 128), 127]


def test_a_new_video_is_nearest_to_those_of_its_creator_and_words() -> None:
    torch.manual_seed(0)
    known = videos(30)
    tower = ItemTower(Items(buckets=4096), known, np.ones(30, bool)).eval()
    weights = weights_of(tower) | {"own": np.zeros((30, 64), np.float32)}
    served = LearnedItems(ItemForm(buckets=4096), weights)
    new = Video("new", known[4].published_at, known[4].title, tags=known[4].tags, category="c0",
                creator_id=known[4].creator_id, language="de")  # fmt: skip
    nearest = np.argmax(served.embed(known) @ served.embed([new])[0])
    assert nearest == 4
    assert not served.embed_texts(["", "nobodyeversaidthis"]).any()


CONFIG = ALL
USERS = stepped(CONFIG, drawn(CONFIG))
