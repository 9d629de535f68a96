"""What a feed reads of a viewer's record in compiled loops, beside the plain form of the same law."""

from itertools import pairwise

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from contracts.events import Action
from contracts.ids import fold32_array
from contracts.user_record import HISTORY, UNKNOWN_SHARE, VALUES, new_users, user_dtype
from operators.catalog_rows import CatalogRows
from operators.features.affinities import lookup
from operators.features.history import liked_videos, recent
from operators.features.seen import fold_shown, seen
from operators.signals import taste

DTYPE = user_dtype(4, 4)
NOW_MS = 1_790_000_000_000
seeds = st.integers(0, 2**32)


@given(seeds, st.sampled_from(["category", "creator", "language", "tag"]), st.integers(0, 20))
def test_an_affinity_is_the_value_beside_its_key(seed: int, name: str, n: int) -> None:
    rng = np.random.default_rng(seed)
    state = new_users(1, DTYPE)[0]
    keys, values = state[f"{name}_key"], state["affinity"][VALUES[name]]
    keys[:] = rng.permutation(2 * len(keys))[: len(keys)]
    values[:] = rng.standard_normal(len(values))
    wanted = rng.integers(0, 2 * len(keys), (n, 3)).astype(np.uint32)
    held = dict(zip(keys.tolist(), values.tolist(), strict=True)) | {0: 0.0}
    plain = [[held.get(key, 0.0) for key in row] for row in wanted.tolist()]
    assert lookup(state, name, wanted).tolist() == plain
    assert lookup(state, name, wanted[:, 0]).tolist() == [row[0] for row in plain]


@given(seeds, st.floats(0, 4), st.integers(0, 300))
def test_what_was_shown_is_seen_for_its_hours_and_little_else(
    seed: int, ago: float, n: int
) -> None:
    rng = np.random.default_rng(seed)
    ids = rng.integers(-(2**63), 2**63 - 1, 600)
    records = new_users(1, DTYPE)
    shown_ms = np.full(n, int(NOW_MS - ago * 3_600_000))
    fold_shown(records, np.zeros(n, np.intp), ids[:n], shown_ms, 1.0)
    got = seen(records[0], ids, NOW_MS, 1.0)
    assert len(np.unique(fold32_array(ids))) == len(ids)
    if ago < 0.99:
        assert got[:n].all()
    if ago > 2.01 or not n:
        assert not got.any()
    assert np.count_nonzero(got[n:]) <= 0.1 * len(ids)


@given(
    seeds,
    st.lists(
        st.tuples(st.integers(0, 130), st.sampled_from([0.0, 0.0, 0.01, 0.3, 0.95, 1.3, 2.1, 9.0])),
        max_size=14,
    ),
    st.sampled_from([0.0, 0.2, 0.6, 0.9, 1.5]),
    st.lists(st.integers(0, 1500), max_size=4),
)
@example(0, [(1, 0.0), (149, 0.8), (1, 0.0)], 0.9, [])  # full long after it began
def test_what_was_shown_is_held_back_for_the_span_or_until_150_more_and_never_for_two_spans(
    seed: int, pages: list[tuple[int, float]], later: float, cuts: list[int]
) -> None:
    rng = np.random.default_rng(seed)
    n, wait_h = [size for size, _ in pages], [hours for _, hours in pages]
    at_h = np.repeat(np.cumsum(wait_h), n)
    ids = rng.integers(-(2**63), 2**63 - 1, len(at_h) + 100)
    at_ms = NOW_MS + (at_h * 3_600_000).astype(np.int64)
    cut, whole = new_users(1, DTYPE), new_users(1, DTYPE)
    fold_shown(whole, np.zeros(len(at_ms), np.intp), ids[: len(at_ms)], at_ms, 1.0)
    for a, b in pairwise([0, *sorted(min(c, len(at_ms)) for c in cuts), len(at_ms)]):
        fold_shown(cut, np.zeros(b - a, np.intp), ids[a:b], at_ms[a:b], 1.0)
    assert cut.tobytes() == whole.tobytes()
    now_h = sum(wait_h) + later
    got = seen(whole[0], ids, NOW_MS + int(now_h * 3_600_000), 1.0)
    age_h, more = now_h - at_h, len(at_h) - 1 - np.arange(len(at_h))
    assert got[: len(at_h)][(age_h < 0.999) & (more < 150)].all()
    gone = np.r_[(age_h > 2.001) | (more >= 300), np.ones(100, np.bool_)]
    assert np.count_nonzero(got[gone]) <= 3 + 0.1 * np.count_nonzero(gone)


@given(seeds, st.integers(0, 200), st.integers(1, 30))
def test_liked_is_what_its_events_say_in_sum(seed: int, events: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    state = new_users(1, DTYPE)[0]
    state["hist_n"], state["hist_video"] = events, rng.integers(1, 30, HISTORY)
    state["hist_action"] = rng.choice(list(Action), HISTORY)
    state["hist_share"] = rng.choice([0, 5, 50, 100, 250, UNKNOWN_SHARE], HISTORY)
    past = recent(state)
    rows = np.zeros(len(past.ids), [("action", "u1"), ("share", "f4")])
    rows["action"], rows["share"] = past.actions, past.shares
    weight = np.where(past.actions == Action.HOVER, 0, taste(rows)).astype(np.float64)
    sums = {video: weight[past.ids == video].sum() for video in past.ids.tolist()}
    liked = [(video, by) for video, by in sums.items() if by > 0][:n]
    ids, by = liked_videos(state, n)
    assert ids.tolist() == [video for video, _ in liked]
    np.testing.assert_allclose(by, [by for _, by in liked], rtol=1e-5)


def test_vectors_are_the_floats_of_their_halves_and_no_video_is_the_last_row() -> None:
    halves = np.arange(2**16, dtype=np.uint16).view(np.float16)
    every = halves[np.isfinite(halves)].reshape(-1, 64)
    rows = CatalogRows.empty(len(every), 64)
    rows.halves[:-1] = every
    np.testing.assert_array_equal(rows.vectors(np.arange(len(every))), every.astype(np.float32))
    assert not rows.vectors(np.array([-1])).any()
