"""Event-to-feed time: once an event, without the time that the viewer waited before asking."""

from typing import Any

import pytest

from api.freshness import FreshnessMeter
from contracts.user_record import new_users, user_dtype


def state(newest_ms: int, folded_ms: int) -> Any:
    record = new_users(1, user_dtype(4, 4))[0]
    record["newest_ms"], record["folded_ms"] = newest_ms, folded_ms
    return record


def test_the_first_feed_with_a_newer_event_is_observed_and_no_other() -> None:
    meter = FreshnessMeter()
    assert meter.observe("ann", None, False, 9000, 0.005) is None
    # Produced at 1.0 s, folded at 1.03 s, asked for at 9 s: the 8 s are the viewer's.
    first = meter.observe("ann", state(1000, 1030), False, 9000, 0.005)
    assert first == pytest.approx(0.035)
    assert meter.observe("ann", state(1000, 1030), False, 9100, 0.005) is None
    assert meter.observe("bob", state(1000, 1030), False, 9100, 0.005) is not None
    assert meter.observe("ann", state(2000, 2010), False, 9200, 0.002) == pytest.approx(0.012)


def test_a_feed_that_was_held_counts_from_the_producers_clock() -> None:
    meter = FreshnessMeter()
    assert meter.observe("ann", state(1000, 1030), True, 1045, 0.045) == pytest.approx(0.045)


def test_clocks_that_disagree_give_no_negative_time() -> None:
    assert FreshnessMeter().observe("ann", state(5000, 1030), True, 1045, 0.001) == 0.0


def test_memory_is_bounded_and_the_longest_unseen_viewer_gives_way() -> None:
    meter = FreshnessMeter(capacity=2)
    for user in ("ann", "bob", "cy"):
        assert meter.observe(user, state(1000, 1030), False, 9000, 0.0) is not None
    assert meter.observe("cy", state(1000, 1030), False, 9000, 0.0) is None
    assert meter.observe("ann", state(1000, 1030), False, 9000, 0.0) is not None
