"""Statistics one by one, as the tests compare them."""

import numpy as np

from contracts.engine_records import Neighbours, VideoStats
from contracts.stats_rows import NEIGHBOUR, StatsColumns


def to_records(states: StatsColumns) -> list[VideoStats]:
    """The states of columns."""
    return [
        VideoStats(
            video=int(row["video"]),
            source=row["source"].decode(),
            at_ms=int(row["at_ms"]),
            counts=tuple(row["counts"].tolist()),
            trend=float(row["trend"]),
            trend_by_country={
                c: w
                for c, w in zip(row["country"].tolist(), row["near"].tolist(), strict=True)
                if w
            },
            neighbours=Neighbours(*(tuple(near[name].tolist()) for name in ("video", "weight"))),
            version=int(row["version"]),
        )
        for row, near in zip(
            states.rows, (np.frombuffer(b, NEIGHBOUR) for b in states.neighbours), strict=True
        )
    ]
