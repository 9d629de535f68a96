"""The ratio to random and its interval."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.simulator.meters import Meters
from headrace.simulator.quality import Quality, Slate, ratio_interval

sums = st.lists(st.tuples(st.floats(0, 1e4), st.floats(0.1, 1e4)), min_size=1, max_size=40)


@given(sums, st.integers(0, 2**31))
def test_the_interval_is_seeded_and_in_order(pairs: list[tuple[float, float]], seed: int) -> None:
    served, random = np.array(pairs).T
    ratio, low, high = ratio_interval(served, random, seed)
    assert (ratio, low, high) == ratio_interval(served, random, seed)
    assert ratio == pytest.approx(served.sum() / random.sum())
    assert low <= high


@given(st.floats(0.1, 10.0), st.integers(2, 30))
def test_viewers_who_agree_leave_no_doubt(ratio: float, n: int) -> None:
    random = np.ones(n)
    assert ratio_interval(ratio * random, random, 1) == pytest.approx((ratio,) * 3)


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(5)
    covered = 0
    for _ in range(200):
        random = rng.gamma(4.0, 2.0, 80)
        served = random * 2.0 * rng.lognormal(-0.02, 0.2, 80)
        _, low, high = ratio_interval(served, random, 1)
        covered += low <= 2.0 <= high
    assert covered > 170


def test_nothing_watched_at_random_has_no_ratio() -> None:
    assert np.isnan(ratio_interval(np.ones(3), np.zeros(3), 1)).all()


def test_recent_figures_forget_and_total_ones_do_not() -> None:
    quality = Quality(viewers=2, window_s=10.0, seed=1)
    quality.add(Slate(0.0, 0, (1, 10.0, 10.0, 0, 0)))
    quality.add(Slate(20.0, 1, (1, 30.0, 10.0, 1, 0)))
    report = quality.report(25.0)
    assert report["recent"]["ratio"] == pytest.approx(3.0)
    assert report["total"]["ratio"] == pytest.approx(2.0)
    assert report["total"]["viewers"] == 2
    assert quality.report(100.0)["recent"]["ratio"] is None


def test_durations_are_reported_since_the_start_and_lately() -> None:
    meters = Meters(window_s=5.0)
    meters.took("feed", at_s=0.0, seconds=1.0)
    meters.took("feed", at_s=9.0, seconds=0.1)
    feed = meters.report(now_s=10.0)["durations"]["feed"]
    assert feed["total"]["n"] == 2
    assert feed["recent"]["n"] == 1
    assert feed["recent"]["p50_ms"] == pytest.approx(100.0)
    assert meters.report(now_s=10.0)["durations"]["put"]["total"]["p50_ms"] is None
