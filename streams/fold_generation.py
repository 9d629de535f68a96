"""What the user flow holds for one bundle: the catalog with that bundle's vectors, and the fold."""

from collections.abc import Callable
from typing import Final

import redis

from contracts.lineup import Lineup
from contracts.models import Bundle
from contracts.settings import Settings
from contracts.topics import VIDEO_VECTORS
from contracts.user_record import user_dtype
from model_runtime import halves
from operators.catalog import Catalog
from operators.user_fold import UserFold
from streams.catalog_follower import apply_vectors
from streams.completeness import Completeness
from streams.dead_letters import DeadLetters
from streams.follower import TopicFollower
from streams.pacing import paced
from streams.presence import SERVING, Presence
from streams.reader import PartitionReader
from streams.user_flow import UserWriter, clock_ms
from streams.user_store import UserStore
from streams.vector_marks import VectorMarks

_LONGEST_S: Final = 60.0
_GATHER_S: Final = 0.1  # no event waits for the catalog, which takes few videos as dearly as many


class FoldGeneration:
    """Follows from the start on.

    Attributes:
        writer: writes states of this bundle; one of another is derived again when it is touched.
        follower: of `video-vectors`.
        live: it is the one in use, and followed without rest.
    """

    def __init__(
        self,
        settings: Settings,
        bundle: Bundle,
        marks: VectorMarks,
        store: UserStore,
        letters: DeadLetters,
        reader: PartitionReader,
    ) -> None:
        self.live = False
        catalog = Catalog(bundle.items.dim)
        fold = UserFold(bundle, catalog, settings.user)
        fold.compile(user_dtype(bundle.users.hidden, bundle.users.dim))
        halves.compile_now()
        self.writer = UserWriter(store, fold, settings.user, letters, reader, clock_ms)
        self.follower = TopicFollower(
            settings.kafka,
            (VIDEO_VECTORS.name,),
            paced(lambda _, m: apply_vectors(catalog, bundle.id, m), lambda: self.live),
            gather_s=lambda: _GATHER_S,
        )
        self._complete = Completeness(settings.kafka, marks, bundle.id, self.follower)
        self.follower.start()

    def ready(self) -> bool:
        """Whether its catalog has every video."""
        return self._complete()

    def close(self) -> None:
        """Stop following."""
        self.follower.close()


class AfterServing:
    """The user flow changes last: a state of the old bundle costs every feed a derivation.

    It does not wait for ever: a process that does not change must not hold up the others.
    """

    def __init__(
        self, presence: Presence, lineup: Callable[[], Lineup], now_s: Callable[[], float]
    ):
        self._presence, self._lineup, self._now_s = presence, lineup, now_s
        self._asked: tuple[str, float] | None = None

    def __call__(self, _new: object) -> bool:
        """Whether every serving process works with the live bundle."""
        live, now_s = self._lineup().live, self._now_s()
        if self._asked is None or self._asked[0] != live:
            self._asked = live, now_s
        try:
            serving = [h for h in self._presence.holders() if h.role == SERVING]
        except redis.RedisError:
            serving = []
        if all(h.bundle == live for h in serving):
            return True
        return now_s - self._asked[1] > _LONGEST_S
