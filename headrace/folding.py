"""What the user flow folds with: a generation for each bundle in use, and what happens when they change."""

import threading
import time

import redis

from contracts.models import Bundle
from contracts.settings import Settings
from contracts.user_record import user_dtype
from headrace.lineup import Following
from streams import user_flow
from streams.dead_letters import DeadLetters
from streams.fold_generation import AfterServing, FoldGeneration
from streams.keys import Keys
from streams.reader import PartitionReader
from streams.recent_states import RecentStates
from streams.user_batch import UserBatch
from streams.user_store import UserStore
from streams.warming import Warmer


class Folding:
    """Belongs to one process of the user flow; `write` and `idle` to its thread."""

    def __init__(
        self,
        settings: Settings,
        client: redis.Redis,
        following: Following,
        reader: PartitionReader,
        letters: DeadLetters,
    ) -> None:
        """Build what is live; it follows `video-vectors` from here on.

        Raises:
            BundleError: no bundle of the lineup can be built.
        """
        self._settings, self._client, self._following = settings, client, following
        self._reader, self._letters = reader, letters
        self._recent = RecentStates(settings.stream.recent_states)
        reader.on_open = self._recent.clear
        keys = Keys(settings.redis.namespace)
        self._warmer = Warmer(client, keys, settings.model.warm_per_s, settings.stream)
        self._folds = following.generations(self._build)
        self._folds.current.live = True
        self._folds.may_switch = AfterServing(
            following.presence, lambda: self._folds.lineup, time.monotonic
        )
        self._folds.on_switch = self._switch

    def wait(self, stop: threading.Event) -> None:
        """An event is folded with what the catalog knows: know it first."""
        while not stop.is_set() and not self._folds.current.follower.caught_up.wait(0.1):
            pass
        self._folds.start()

    def catalog_away_s(self) -> float:
        """How long Kafka has been away from the catalog."""
        return self._folds.current.follower.outage.seconds()

    def write(self, batch: UserBatch) -> None:
        """One batch, with one generation; see `UserWriter.write`."""
        self._folds.current.writer.write(batch)
        self.idle()

    def idle(self) -> None:
        """A moment between two batches."""
        self._warmer.step(time.monotonic())

    def close(self) -> None:
        """Let go of all generations."""
        self._folds.close()

    def _build(self, bundle_id: str) -> FoldGeneration:
        settings, bundle = self._settings, self._following.load(bundle_id)
        store = state_store(settings, self._client, user_flow.FLOW, bundle, self._recent)
        marks = self._following.marks
        return FoldGeneration(settings, bundle, marks, store, self._letters, self._reader)

    def _switch(self, new: FoldGeneration) -> None:
        self._folds.current.live, new.live = False, True
        self._warmer.begin(new.writer)


def state_store(
    settings: Settings,
    client: redis.Redis,
    flow: str,
    bundle: Bundle,
    recent: RecentStates | None = None,
) -> UserStore:
    """States of a bundle, and the positions of a flow beside them."""
    return UserStore(
        client,
        Keys(settings.redis.namespace),
        flow,
        user_dtype(bundle.users.hidden, bundle.users.dim),
        keys_per_write=settings.stream.keys_per_write,
        ttl_days=settings.user.ttl_days,
        recent=recent,
    )
