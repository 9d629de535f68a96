"""Laws of the quantile maths, and of what was gained between two readings."""

from math import inf

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from headrace.dashboard.histograms import (
    Scrape,
    buckets,
    by_label,
    parse,
    quantile,
    since,
    total,
)  # fmt: skip

BOUNDS = (0.01, 0.05, 0.1, 0.5, 1.0, 5.0)
observations = st.lists(st.floats(0.0001, 4.9), min_size=1, max_size=200)
fractions = st.floats(0.0, 1.0)


def histogram_of(values: list[float]) -> dict[float, float]:
    found = np.array(values)
    return {bound: float((found <= bound).sum()) for bound in (*BOUNDS, inf)}


@given(observations, fractions, fractions)
def test_a_higher_quantile_is_never_smaller(values: list[float], a: float, b: float) -> None:
    low, high = sorted((a, b))
    histogram = histogram_of(values)
    at_low, at_high = quantile(histogram, low), quantile(histogram, high)
    assert at_low is not None
    assert at_high is not None
    assert at_low <= at_high + 1e-12


@given(observations, fractions)
def test_a_quantile_lies_in_the_bucket_of_the_true_one(values: list[float], q: float) -> None:
    found = quantile(histogram_of(values), q)
    rank = max(int(np.ceil(q * len(values))), 1)
    true = sorted(values)[rank - 1]
    edges = (0.0, *BOUNDS)
    upper = next(edge for edge in edges[1:] if true <= edge)
    lower = edges[edges.index(upper) - 1]
    assert found is not None
    assert lower - 1e-12 <= found <= upper + 1e-12


@given(observations, st.integers(1, 20), fractions)
def test_seeing_everything_many_times_changes_no_quantile(
    values: list[float], times: int, q: float
) -> None:
    histogram = histogram_of(values)
    more = {bound: count * times for bound, count in histogram.items()}
    assert quantile(more, q) == pytest.approx(quantile(histogram, q))


def test_nothing_observed_has_no_quantile() -> None:
    assert quantile({}, 0.5) is None
    assert quantile(dict.fromkeys((*BOUNDS, inf), 0.0), 0.5) is None


def test_what_lies_beyond_the_last_bound_is_that_bound() -> None:
    assert quantile({1.0: 0.0, 2.0: 0.0, inf: 7.0}, 0.5) == 2.0


def test_quantiles_are_linear_inside_a_bucket() -> None:
    assert quantile({1.0: 5.0, 2.0: 10.0, inf: 10.0}, 0.75) == pytest.approx(1.5)


@given(observations, observations)
def test_what_is_exposed_by_real_histograms_is_read_back(
    first: list[float], second: list[float]
) -> None:
    registry = CollectorRegistry()
    seconds = Histogram("t_seconds", "A test.", ["rung"], buckets=BOUNDS, registry=registry)
    for value in first:
        seconds.labels("full").observe(value)
    old = parse(generate_latest(registry).decode())
    for value in second:
        seconds.labels("trending").observe(value)
    new = parse(generate_latest(registry).decode())
    assert buckets([since(new, old)], "t_seconds") == histogram_of(second)
    assert buckets([new], "t_seconds", rung="full") == histogram_of(first)
    assert by_label([new], "t_seconds_count", "rung") == {
        "full": len(first),
        "trending": len(second),
    }


def test_a_process_that_started_anew_gained_all_that_it_has() -> None:
    registry = CollectorRegistry()
    counter = Counter("t", "A test.", registry=registry)
    counter.inc(3)
    young = parse(generate_latest(registry).decode())
    counter.inc(7)
    old = parse(generate_latest(registry).decode())
    assert total([since(young, old)], "t_total") == 3
    assert total([since(old, young)], "t_total") == 7
    assert total([since(old, None)], "t_total") == 10


@given(st.text())
def test_text_that_is_no_exposition_is_a_value_error_or_no_sample(text: str) -> None:
    try:
        assert isinstance(parse(text), Scrape)
    except ValueError:
        pass
