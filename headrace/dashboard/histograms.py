"""Quantiles and rates from what Prometheus endpoints expose. Pure: text and numbers in, numbers out.

A histogram here is a mapping of upper bound (seconds, the last one inf) -> cumulative count.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import inf

from prometheus_client.parser import text_string_to_metric_families

Buckets = Mapping[float, float]
Labels = tuple[tuple[str, str], ...]
Samples = dict[tuple[str, Labels], float]


@dataclass(frozen=True, slots=True, eq=False)
class Scrape:
    """One reading of one endpoint: (sample name, sorted labels) -> value."""

    samples: Samples = field(default_factory=dict)

    def values(self, name: str, **wanted: str) -> dict[Labels, float]:
        """Labels -> value of the samples of that name that bear the wanted labels."""
        return {
            labels: value
            for (sample, labels), value in self.samples.items()
            if sample == name and wanted.items() <= dict(labels).items()
        }


def parse(text: str) -> Scrape:
    """A reading in Prometheus' text format.

    Raises:
        ValueError: it is not that format.
    """
    samples: Samples = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            samples[sample.name, tuple(sorted(sample.labels.items()))] = sample.value
    return Scrape(samples)


def since(new: Scrape, old: Scrape | None) -> Scrape:
    """What counters and buckets gained between two readings of one endpoint.

    A value that fell belongs to a process that started anew: then all of it was gained.
    """
    if old is None:
        return new
    gained = {}
    for key, value in new.samples.items():
        before = old.samples.get(key, 0.0)
        gained[key] = value - before if value >= before else value
    return Scrape(gained)


def total(scrapes: Iterable[Scrape], name: str, **wanted: str) -> float:
    """Sum over endpoints and labels; 0.0 when nobody exposes it."""
    return sum(sum(scrape.values(name, **wanted).values()) for scrape in scrapes)


def by_label(scrapes: Iterable[Scrape], name: str, label: str) -> dict[str, float]:
    """Value of `label` -> sum over endpoints and all other labels."""
    sums: dict[str, float] = {}
    for scrape in scrapes:
        for labels, value in scrape.values(name).items():
            key = dict(labels).get(label, "")
            sums[key] = sums.get(key, 0.0) + value
    return sums


def buckets(scrapes: Iterable[Scrape], name: str, **wanted: str) -> dict[float, float]:
    """The histogram `name` summed over endpoints and labels; empty when nobody exposes it."""
    sums: dict[float, float] = {}
    for scrape in scrapes:
        for labels, value in scrape.values(name + "_bucket", **wanted).items():
            upper = float(dict(labels)["le"])
            sums[upper] = sums.get(upper, 0.0) + value
    return dict(sorted(sums.items()))


def quantile(histogram: Buckets, q: float) -> float | None:
    """The q-quantile in seconds, linear inside its bucket, as `histogram_quantile` has it.

    None without observations. What lies beyond the last finite bound is that bound: a histogram
    knows no more. {1.0: 5, 2.0: 10, inf: 10} at 0.75 -> 1.5.
    """
    bounds = sorted(histogram)
    count = histogram[bounds[-1]] if bounds else 0.0
    if not count > 0:
        return None
    rank, lower, below = q * count, 0.0, 0.0
    for upper in bounds:
        here = max(histogram[upper], below)  # sums of readings a moment apart may dip
        if here >= rank and here > below:
            if upper == inf:
                break
            return lower + (upper - lower) * max(rank - below, 0.0) / (here - below)
        lower, below = (lower if upper == inf else upper), here
    return lower
