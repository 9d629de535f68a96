"""Impressions as columns: one row a video of a page."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from contracts.ids import hash64
from model_runtime.training.log import Log
from model_runtime.training.reading import read_impressions

_ROW: Final = np.dtype(
    [("user", np.intp), ("item", "<i4"), ("at_ms", "<i8"), ("arrived_ms", "<i8"), ("page", "<i8"),
     ("request", "<i8"), ("position", "<i4"), ("propensity", "<f4"), ("surface", "<i4")]
)  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """n videos of pages, by time; the rows of a page lie together, best first.

    Attributes:
        users: those of `Log.users`, then people who were shown something and did nothing.
        user: (n,) intp into `users`; item: (n,) int32 into `Log.videos`.
        at_ms: (n,) int64, by the server's clock; arrived_ms: (n,) int64, by the broker's.
        page: (n,) int64, the same for the rows of a page.
        request: (n,) int64 hash64 of the request.
        position: (n,) int32; propensity: (n,) float32.
        surface: (n,) int32 into `surfaces`.
        left_out: rows of videos that neither file names.
    """

    users: Sequence[str]
    user: NDArray[np.intp]
    item: NDArray[np.int32]
    at_ms: NDArray[np.int64]
    arrived_ms: NDArray[np.int64]
    page: NDArray[np.int64]
    request: NDArray[np.int64]
    position: NDArray[np.int32]
    propensity: NDArray[np.float32]
    surface: NDArray[np.int32]
    surfaces: tuple[str, ...]
    left_out: int


def read_shown(folder: Path, log: Log) -> Shown:
    """All impressions of a folder."""
    users = {user: i for i, user in enumerate(log.users)}
    videos = {video.video_id: i for i, video in enumerate(log.videos)}
    surfaces: dict[str, int] = {}
    rows: list[tuple[int | float, ...]] = []
    page = left_out = 0
    for some in read_impressions(folder):
        for served, arrived_ms in zip(some.pages, some.arrived_ms.tolist(), strict=True):
            who, request = users.setdefault(served.user_id, len(users)), hash64(served.request_id)
            surface = surfaces.setdefault(served.surface, len(surfaces))
            for video, position, propensity in zip(
                served.video_ids, served.positions, served.propensities, strict=True
            ):
                item = videos.get(video)
                if item is None:
                    left_out += 1
                    continue
                when = served.at_ms, arrived_ms
                rows.append((who, item, *when, page, request, position, propensity, surface))
            page += 1
    table = np.array(rows, _ROW)
    table = table[np.lexsort((table["page"], table["at_ms"]))]
    columns = {name: table[name].copy() for name in _ROW.names or ()}
    return Shown(list(users), **columns, surfaces=tuple(surfaces), left_out=left_out)
