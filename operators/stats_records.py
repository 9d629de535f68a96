"""Rows of a source partition as the states that it publishes."""

from typing import Final

import numpy as np

from contracts.batch import Rows
from contracts.engine_records import Neighbours, VideoStats
from operators.decay import fade
from operators.sketches import Sketches
from operators.video_table import NEIGHBOURS, Times, VideoTable

COUNTRIES: Final = 8
_FAINT: Final = 0.01  # people: a country or neighbour below it is not worth its bytes

Strongest = list[tuple[tuple[int, ...], tuple[float, ...]]]


def published(table: VideoTable, rows: Rows, source: str) -> list[VideoStats]:
    """One record a row."""
    known = table.rows[rows]
    countries = _strongest(table.countries, rows, known["at_ms"], COUNTRIES)
    neighbours = _strongest(table.neighbours, rows, known["at_ms"], NEIGHBOURS)
    columns = (known[name].tolist() for name in ("video", "at_ms", "counts", "trend"))
    return [
        VideoStats(
            video, source, at_ms, tuple(counts), trend,
            dict(zip(*near, strict=True)), Neighbours(*beside),
        )
        for video, at_ms, counts, trend, near, beside in zip(
            *columns, countries, neighbours, strict=True
        )
    ]  # fmt: skip


def _strongest(sketches: Sketches, rows: Rows, at_ms: Times, most: int) -> Strongest:
    """Keys and weights of each row at its time `at_ms`, heaviest first."""
    view = sketches.view(rows)
    weights = view.weights * fade(at_ms - view.at_ms, sketches.half_life_ms)[:, None]
    order = np.argsort(-weights, axis=1, kind="stable")[:, :most]
    weights = np.take_along_axis(weights, order, axis=1)
    keys = np.take_along_axis(view.keys, order, axis=1)
    filled = np.count_nonzero(weights > _FAINT, axis=1).tolist()
    return [
        (tuple(k[:n]), tuple(w[:n]))
        for k, w, n in zip(keys.tolist(), weights.tolist(), filled, strict=True)
    ]
