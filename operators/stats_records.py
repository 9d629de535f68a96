"""Rows of a source partition as the states that it publishes."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from contracts.batch import Ids, Rows
from contracts.stats_rows import COUNTRIES, LAYOUT, NEIGHBOUR, ROW, StatsColumns
from operators.decay import F64, fade
from operators.sketches import Sketches
from operators.video_table import NEIGHBOURS, Times, VideoTable

_FAINT: Final = 0.01  # people: a country or neighbour below it is not worth its bytes


def published(table: VideoTable, rows: Rows, source: str) -> StatsColumns:
    """One state a row, of version 0."""
    known = table.rows[rows]
    out = np.zeros(len(rows), ROW)
    out["layout"], out["source"] = LAYOUT, source.encode()
    for name in ("video", "at_ms", "counts", "trend"):
        out[name] = known[name]
    countries, near = _strongest(table.countries, rows, known["at_ms"], COUNTRIES)
    out["country"], out["near"] = countries, near
    return StatsColumns(
        out, _packed(*_strongest(table.neighbours, rows, known["at_ms"], NEIGHBOURS))
    )


def _strongest(sketches: Sketches, rows: Rows, at_ms: Times, most: int) -> tuple[Ids, F64]:
    """(n, most) keys and weights of each row at its time `at_ms`, heaviest first, then zeros."""
    view = sketches.view(rows)
    weights = view.weights * fade(at_ms - view.at_ms, sketches.half_life_ms)[:, None]
    order = np.argsort(-weights, axis=1, kind="stable")[:, :most]
    weights = np.take_along_axis(weights, order, axis=1)
    keys = np.take_along_axis(view.keys, order, axis=1)
    worth = weights > _FAINT
    return np.where(worth, keys, 0), np.where(worth, weights, 0.0)


def _packed(keys: Ids, weights: F64) -> list[bytes]:
    """The filled slots of each row."""
    filled: NDArray[np.bool_] = weights > 0
    slots = np.empty(np.count_nonzero(filled), NEIGHBOUR)
    slots["video"], slots["weight"] = keys[filled], weights[filled]
    content = slots.tobytes()
    ends = np.cumsum(filled.sum(axis=1) * NEIGHBOUR.itemsize).tolist()
    return [content[start:end] for start, end in zip([0, *ends], ends, strict=False)]
