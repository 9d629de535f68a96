"""Which version of a video is newer, and what is remembered of videos that were removed."""

from collections import OrderedDict
from typing import Final

import numpy as np
from numpy.typing import NDArray

Version = tuple[int, int]  # partition and offset on topic `videos`
_REMEMBERED: Final = 65_536


def is_older(version: Version, stored: Version | None) -> bool:
    """Whether `stored` is newer: same partition, higher offset. Other partitions do not compare.

    >>> is_older((0, 4), (0, 5)), is_older((0, 5), (0, 5)), is_older((1, 4), (0, 5))
    (True, False, False)
    """
    return stored is not None and stored[0] == version[0] and stored[1] > version[1]


class Removed:
    """Versions of the last removals, so that a replayed older version does not bring a video back."""

    def __init__(self) -> None:
        self._versions: OrderedDict[int, Version] = OrderedDict()

    def remember(self, video: int, version: Version) -> None:
        """The video was removed at this version."""
        self._versions[video] = version
        self._versions.move_to_end(video)
        if len(self._versions) > _REMEMBERED:
            self._versions.popitem(last=False)

    def version(self, video: int) -> Version | None:
        """At which version it was removed, None if it was not or was forgotten."""
        return self._versions.get(video)

    def forget(self, video: int) -> None:
        """The video is there again."""
        self._versions.pop(video, None)

    def state(self) -> NDArray[np.int64]:
        """(m, 3) int64: id, partition, offset; the oldest removal first."""
        rows = [(video, *version) for video, version in self._versions.items()]
        return np.array(rows, np.int64).reshape(-1, 3)

    @classmethod
    def restore(cls, state: NDArray[np.int64]) -> "Removed":
        """What `state` holds."""
        removed = cls()
        for video, partition, offset in state.tolist():
            removed.remember(video, (partition, offset))
        return removed
