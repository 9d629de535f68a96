"""Laws of the replay's clock."""

from hypothesis import given
from hypothesis import strategies as st

from contracts.events import Event
from contracts.profiles import Profile
from contracts.videos import Video
from headrace.replay.clock import Clock, Shift
from headrace.replay.rows import time_of

FIRST, LAST, START = 1_600_000_000_000, 1_600_000_900_000, 1_700_000_000_000
inside = st.integers(FIRST, LAST)
speeds = st.floats(0.1, 10_000)
shifts = st.sampled_from(Shift)


def event(at_ms: int) -> Event:
    return Event("e", "u", "click", at_ms, "v")


def clock(speed: float, shift: Shift) -> Clock:
    return Clock(FIRST, LAST, START, speed, shift)


@given(inside, inside, speeds, shifts)
def test_messages_are_due_in_the_order_of_their_times(
    a: int, b: int, speed: float, shift: Shift
) -> None:
    early, late = sorted((a, b))
    one = clock(speed, shift)
    assert START <= one.due_ms(event(early)) <= one.due_ms(event(late))


@given(inside, speeds)
def test_speed_divides_the_waiting(at_ms: int, speed: float) -> None:
    waited = clock(speed, Shift.NOW).due_ms(event(at_ms)) - START
    assert abs(waited - (at_ms - FIRST) / speed) <= 1


@given(inside, shifts)
def test_at_full_speed_nothing_waits(at_ms: int, shift: Shift) -> None:
    assert clock(0.0, shift).due_ms(event(at_ms)) == START


@given(inside, st.integers(0, 10**7))
def test_shifted_to_now_an_event_bears_the_moment_of_sending(at_ms: int, later: int) -> None:
    stamped = clock(60.0, Shift.NOW).stamped(event(at_ms), START + later)
    assert time_of(stamped) == START + later


@given(st.integers(1, FIRST - 1), speeds)
def test_shifted_to_now_an_old_video_keeps_its_age(at_ms: int, speed: float) -> None:
    video = Video("v", max(at_ms, 10**11))
    moved = clock(speed, Shift.NOW).stamped(video, START + 5000)
    age = FIRST - max(at_ms, 10**11)
    assert time_of(moved) == max(START - age, 1)


@given(inside, inside)
def test_shifted_to_the_end_distances_stay_and_the_last_is_now(a: int, b: int) -> None:
    one = clock(0.0, Shift.END)
    times = [time_of(one.stamped(event(at_ms), START)) for at_ms in (a, b, LAST)]
    assert times[2] == START
    assert times[0] is not None
    assert times[1] is not None
    assert times[0] - times[1] == a - b


@given(inside)
def test_kept_times_are_untouched(at_ms: int) -> None:
    assert clock(1.0, Shift.KEEP).stamped(event(at_ms), START) == event(at_ms)


@given(shifts)
def test_a_profile_without_a_date_is_sent_at_once_as_it_is(shift: Shift) -> None:
    one = clock(1.0, shift)
    assert one.due_ms(Profile("u")) == START
    assert one.stamped(Profile("u"), START) == Profile("u")


def test_times_in_seconds_are_understood() -> None:
    assert clock(1.0, Shift.NOW).due_ms(event(FIRST // 1000 + 10)) == START + 10_000
