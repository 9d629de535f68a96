"""The serving side of `video-stats`: how videos fare now, summed over the source partitions.

One writer applies records, another thread may refresh the trending lists, any number read.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from contracts.batch import Column, Ids
from contracts.features import RATE_COLUMNS
from contracts.models import F32
from contracts.settings import StatsSettings
from contracts.stats_rows import NEIGHBOUR, SOURCE_BYTES, StatsColumns
from contracts.units import HOUR_MS
from operators.board_reads import compile_now, faded, summed
from operators.board_rows import BoardRows, part_keys
from operators.decay import fade
from operators.trending import CategoryOf, IsThere, Trends, trends

# Imagined events with the declared default rates: so many real ones weigh as much as the prior.
_PRIOR_EVENTS: Final = 20.0
_PRIOR: Final = {spec.name: float(spec.default) for spec in RATE_COLUMNS}
# Keeps a pair that was watched together once from beating pairs with a history.
_PRIOR_CLICKS: Final = 5.0
_SWEPT_FROM: Final = 4096


class StatsBoard:
    """Bounded by the tables of the source partitions, whose tombstones it follows."""

    def __init__(self, settings: StatsSettings) -> None:
        self._rows = BoardRows(
            settings.count_half_life_h * HOUR_MS, settings.trend_half_life_h * HOUR_MS
        )
        compile_now()
        self._trends = Trends()
        self._dropped = False  # something was, since the lists were made

    def __len__(self) -> int:
        """Videos of which something is known."""
        return self._rows.live

    def apply(self, states: StatsColumns) -> None:
        """Take over states: each replaces the one of its video and source that is not newer."""
        self._rows.apply(states)

    def forget(self, videos: Sequence[int], sources: Sequence[str]) -> None:
        """Sources withdrew their states of these videos."""
        self._dropped = True
        names = np.array([source.encode() for source in sources], f"S{SOURCE_BYTES}")
        self._rows.remove(part_keys(np.array(videos, np.int64), names))
        self._sweep()

    def refresh(
        self, now_ms: int, category_of: CategoryOf, is_there: IsThere | None = None
    ) -> None:
        """Make the trending lists anew; `category_of` gives 32-bit hashes, 0 unknown.

        Args:
            is_there: which videos may be listed, else all. What is known of the others stays: a
                board is a fold of `video-stats` alone, so that every replica has the same.
        """
        self._dropped = False  # before: what is dropped meanwhile may be on the lists
        self._trends = trends(self._rows, now_ms, category_of, is_there)

    def trending(self, country: int = 0, category: int = 0, n: int = 50) -> tuple[Ids, F32]:
        """At most n ids and weights of the last refresh, heaviest first; 0 is any."""
        found = self._trends.of(country, category)
        if not self._dropped:
            return found.ids[:n], found.weights[:n]
        there = self._rows.find(found.ids) >= 0
        return found.ids[there][:n], found.weights[there][:n]

    def neighbours(self, ids: Ids, weights: F32, n: int) -> tuple[Ids, F32]:
        """At most n videos that were watched in the sessions of `ids`, strongest first.

        The score is the cosine of item-to-item filtering, summed over the sources and over `ids`
        with their weights: pairs / sqrt(clicks of the one x clicks of the other).
        """
        rows = self._rows
        at = rows.find(ids)
        known = np.flatnonzero(at >= 0)
        whose, parts = rows.all_parts(at[known])
        blobs = [rows.neighbours[part] for part in parts.tolist()]
        sizes = np.fromiter(map(len, blobs), np.intp, len(blobs)) // NEIGHBOUR.itemsize
        if not sizes.any():
            return np.empty(0, np.int64), np.empty(0, np.float32)
        factor = weights[known] / np.sqrt(rows.videos["counts"][at[known], 1] + _PRIOR_CLICKS)
        times = rows.partials["at_ms"][parts]
        aged = fade(times[sizes > 0].max() - times, rows.count_half_life_ms)
        found = np.frombuffer(b"".join(blobs), NEIGHBOUR)
        lists = found["video"].copy(), found["weight"].copy()
        others, pairs = summed(*lists, sizes, np.asarray(factor[whose] * aged, np.float64))
        return _strongest(rows, others, pairs, ids, n)

    def counts(self, ids: Ids, now_ms: int) -> F32:
        """(n, 5) impressions, clicks, completes, likes, skips, decayed to now; 0 unknown."""
        return self._faded(ids, now_ms).T

    def _faded(self, ids: Ids, now_ms: int) -> F32:
        rows = self._rows
        at, of = rows.find(ids), rows.videos
        return faded(of["counts"], of["at_ms"], at, now_ms, rows.count_half_life_ms)

    def rates(self, ids: Ids, now_ms: int) -> dict[str, Column]:
        """`RATE_COLUMNS` of each video; a rate is pulled to its declared default by a prior."""
        shown, clicks, completes, likes, skips = self._faded(ids, now_ms)
        rows = self._rows
        trend = rows.videos["trend"].reshape(-1, 1)
        return {
            "impressions": shown,
            "ctr": _smoothed(clicks, shown, _PRIOR["ctr"]),
            "complete_rate": _smoothed(completes, clicks, _PRIOR["complete_rate"]),
            "like_rate": _smoothed(likes, clicks, _PRIOR["like_rate"]),
            "skip_rate": _smoothed(skips, clicks + skips, _PRIOR["skip_rate"]),
            "clicks": clicks,
            "trend": faded(
                trend, rows.videos["at_ms"], rows.find(ids), now_ms, rows.trend_half_life_ms
            )[0],
        }

    def _sweep(self) -> None:
        rows = self._rows
        if rows.dead > max(_SWEPT_FROM, (rows.n + rows.parts) // 2):
            self._rows = rows.swept()


def _strongest(
    rows: BoardRows, others: Ids, pairs: NDArray[np.float64], ids: Ids, n: int
) -> tuple[Ids, F32]:
    """The n strongest, without `ids` themselves; of equal ones the lower id, in every replica."""
    order = np.argsort(others)
    others, pairs = others[order], pairs[order]
    mine = np.minimum(np.searchsorted(others, ids), len(others) - 1)
    pairs[mine[others[mine] == ids]] = 0
    at = rows.find(others)
    clicks = np.where(at >= 0, rows.videos["counts"][at, 1], 0)
    score = pairs / np.sqrt(clicks + _PRIOR_CLICKS)
    top = np.argsort(-score, kind="stable")[:n]
    top = top[score[top] > 0]
    return others[top], score[top].astype(np.float32)


def _smoothed(part: F32, whole: F32, prior: float) -> F32:
    """Share with imagined events; clicks that no impression led to cannot make it more than 1."""
    rate = (part + _PRIOR_EVENTS * prior) / (whole + _PRIOR_EVENTS)
    out: F32 = np.minimum(rate, 1.0).astype(np.float32)
    return out
