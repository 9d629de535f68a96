"""The size and pace of a simulation, and what everyone in it shares."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from headrace.simulator.catalogue import Catalogue, Traits
from headrace.simulator.client import Client, RefusedError
from headrace.simulator.meters import Meters
from headrace.simulator.quality import Quality


@dataclass(frozen=True, slots=True)
class Plan:
    """What to simulate.

    Attributes:
        viewers: people, each with at most one request under way.
        videos: clips published before the first viewer arrives.
        rate: feeds asked for per second by all viewers together, as an upper bound.
        publish_rate: clips published per second after that; 0 = none.
        page: videos asked for at a time.
        seconds: how long viewers live; None = until told to stop.
        first: number of the first viewer: another one makes other people in the same world.
        window_s: what "recent" means in the figures.
    """

    viewers: int = 150
    videos: int = 2000
    rate: float = 15.0
    publish_rate: float = 1.0
    page: int = 10
    seconds: float | None = None
    seed: int = 7
    first: int = 0
    window_s: float = 120.0

    @property
    def creators(self) -> int:
        """About ten clips a creator to begin with."""
        return max(5, self.videos // 10)

    def rng(self, role: str, number: int = 0) -> Random:
        """A stream of random numbers of its own for everyone, so that nobody shifts another's."""
        return Random(f"{self.seed}/{role}/{number}")


@dataclass(frozen=True, slots=True)
class World:
    """Shared by all actors, which run on one event loop.

    Attributes:
        now_s: monotonic clock; now_ms: wall clock, Unix milliseconds.
        nonce: makes event ids unique across runs of one seed against one engine.
        removed_at: video id -> monotonic time of its removal's acknowledgement.
    """

    plan: Plan
    client: Client
    catalogue: Catalogue
    meters: Meters
    quality: Quality
    now_s: Callable[[], float]
    now_ms: Callable[[], int]
    nonce: str
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    removed_at: dict[str, float] = field(default_factory=dict)
    complaints: list[str] = field(default_factory=list)

    def failed(self, error: RefusedError) -> None:
        """Count an error by its kind, and remember the newest few texts."""
        self.meters.errors[error.kind] += 1
        self.complaints.append(str(error))
        del self.complaints[:-5]

    async def pause(self, seconds: float) -> bool:
        """Wait; True when it is time to stop."""
        if not self.stopping.is_set() and seconds > 0:
            try:
                await asyncio.wait_for(self.stopping.wait(), seconds)
            except TimeoutError:
                pass
        return self.stopping.is_set()

    def random_traits(self, rng: Random, country: str, age: int) -> Traits | None:
        """A uniformly random published clip that this person may see, None if none is found."""
        published = self.catalogue.published
        for _ in range(50 if published else 0):
            traits = published[rng.randrange(len(published))]
            if traits.allowed(country, age):
                return traits
        return None
