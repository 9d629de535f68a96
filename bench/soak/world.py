"""Who is there and what is published, as a function of time: so the generators need not talk.

Viewers and videos are numbered in the order of their arrival. At any moment those of one window
are there; it moves on, so that somebody new comes for each one who goes.
"""

import json
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class World:
    """The load of one run. Times are seconds since 1970; rates are per second.

    Attributes:
        began_s, ends_s: when the load begins and, whatever happens, ends.
        events, feeds: so many a second.
        videos, churn: published at a time; so many a second are published, changed and removed each.
        viewers, arrivals: there at a time; so many a second come, and go.
    """

    bootstrap: str
    api: str
    began_s: float
    ends_s: float
    events: float
    feeds: float
    videos: int
    churn: float
    viewers: int
    arrivals: float

    def viewers_at(self, now_s: float) -> range:
        """Numbers of the viewers who are there."""
        return _window(self.viewers, self.arrivals, now_s - self.began_s)

    def videos_at(self, now_s: float) -> range:
        """Numbers of the videos that are published."""
        return _window(self.videos, self.churn, now_s - self.began_s)

    def to_json(self) -> str:
        """For the command line of a generator."""
        return json.dumps(asdict(self))

    @classmethod
    def of_json(cls, text: str) -> "World":
        """What `to_json` wrote."""
        return cls(**json.loads(text))


def _window(size: int, per_s: float, age_s: float) -> range:
    gone = int(per_s * max(age_s, 0.0))
    return range(gone, gone + size)


def viewer_id(number: int) -> str:
    """Id of a viewer."""
    return f"u_{number:07d}"


def video_id(number: int) -> str:
    """Id of a video; `headrace.simulator.catalogue` names the n-th clip so."""
    return f"clip_{number:06d}"
