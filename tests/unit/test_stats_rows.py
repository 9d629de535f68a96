"""The wire format of the video statistics: rows, what earlier releases wrote, and what is no state."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.engine_records import Neighbours, VideoStats, encode_record
from contracts.errors import BadMessageError
from contracts.stats_rows import NEIGHBOUR, ROW, decode, messages, of_records
from tests.stats_records import to_records

halves = st.floats(-1e6, 1e6, width=32)
small = st.dictionaries(st.integers(1, 0xFFFF), halves.filter(bool), max_size=8)
listed = st.lists(st.tuples(st.integers(-(2**63), 2**63 - 1), halves), max_size=24)


@st.composite
def states(draw: st.DrawFn) -> VideoStats:
    near = draw(listed)
    return VideoStats(
        draw(st.integers(-(2**63), 2**63 - 1)),
        draw(st.sampled_from(["events:0", "impressions:2147483647"])),
        draw(st.integers(0, 2**40)),
        draw(st.tuples(*[st.floats(-1e15, 1e15)] * 5)),
        draw(st.floats(-1e15, 1e15)),
        draw(small),
        Neighbours(tuple(v for v, _ in near), tuple(w for _, w in near)),
        draw(st.integers(0, 2**62)),
    )


@given(st.lists(st.tuples(states(), st.booleans()), max_size=12))
def test_states_are_read_as_they_were_written_by_this_release_or_an_earlier_one(
    written: list[tuple[VideoStats, bool]],
) -> None:
    values = [encode_record(s) if old else messages(of_records([s]))[0] for s, old in written]
    found, bad = decode(values)
    assert to_records(found) == [state for state, _ in written]
    assert bad == []


@given(st.lists(states() | st.binary(max_size=300), max_size=12))
def test_what_is_no_state_is_numbered_and_the_others_are_read(
    written: list[VideoStats | bytes],
) -> None:
    values = [w if isinstance(w, bytes) else messages(of_records([w]))[0] for w in written]
    found, bad = decode(values)
    good = [w for i, w in enumerate(written) if i not in bad]
    assert to_records(found) == [w for w in good if not isinstance(w, bytes)]
    assert not any(isinstance(w, bytes) for w in good)


SOUND = VideoStats(
    7, "events:0", 1_700_000_000_000, (10.0, 5.0, 2.0, 1.0, 1.0), 3.0, {17477: 2.0},
    Neighbours((8, 9), (1.5, 1.0)), 3,
)  # fmt: skip


@pytest.mark.parametrize("mass", [np.nan, np.inf, -np.inf, 1e30])
@pytest.mark.parametrize("name", ["counts", "trend", "near", "weight"])
def test_a_row_that_would_spoil_every_sum_is_refused(name: str, mass: float) -> None:
    states = of_records([SOUND, SOUND, SOUND])
    if name == "weight":
        beside = np.frombuffer(states.neighbours[1], NEIGHBOUR).copy()
        beside["weight"][1] = mass
        states.neighbours[1] = beside.tobytes()
    elif name == "trend":
        states.rows["trend"][1] = mass
    else:
        states.rows[name][1, 2] = mass
    found, bad = decode(messages(states))
    assert bad == [1]
    assert to_records(found) == [SOUND, SOUND]


@pytest.mark.parametrize("at_ms", [-1, 2**62])
def test_a_row_of_a_time_that_there_never_is_is_refused(at_ms: int) -> None:
    states = of_records([SOUND])
    states.rows["at_ms"] = at_ms
    assert decode(messages(states))[1] == [0]


def test_a_row_that_was_cut_off_or_has_too_many_neighbours_is_refused() -> None:
    (value,) = messages(of_records([SOUND]))
    cut = [value[:-1], value[: ROW.itemsize - 1], b"", value + value[-12:] * 300]
    assert decode(cut)[1] == [0, 1, 2, 3]


def test_a_source_that_does_not_fit_is_said() -> None:
    long = VideoStats(7, "e" * 25, 0, (0.0,) * 5, 0.0, {}, Neighbours((), ()))
    with pytest.raises(BadMessageError, match="source"):
        of_records([long])
    assert decode([encode_record(long)])[1] == [0]


def test_the_bytes_of_a_row_stay_what_they_are() -> None:
    (value,) = messages(of_records([SOUND]))
    assert value.hex() == GOLDEN


GOLDEN = (
    "010000000000000007000000000000006576656e74733a30000000000000000000000000000000000068e5cf8b"
    "0100000300000000000000000000000000244000000000000014400000000000000040000000000000f03f0000"
    "00000000f03f000000000000084045440000000000000000000000000000000000400000000000000000000000"
    "000000000000000000000000000000000008000000000000000000c03f09000000000000000000803f"
)
