"""What the vector flow computes with: every bundle in use, and all videos once more for a new one."""

import time

import redis

from contracts.models import Bundle
from contracts.settings import Settings
from headrace.folding import state_store
from headrace.lineup import Following
from index_updater.computed import Computed
from index_updater.embedding_size import EmbeddingSize
from index_updater.vector_flow import FLOW, VectorWriter, VideoBatch
from index_updater.vector_pass import VectorPass
from streams.dead_letters import DeadLetters
from streams.kafka import Publisher
from streams.keys import Keys
from streams.reader import PartitionReader


class Computing:
    """Belongs to one process of the vector flow; `write` and `idle` to its thread."""

    def __init__(
        self,
        settings: Settings,
        client: redis.Redis,
        following: Following,
        reader: PartitionReader,
        publisher: Publisher,
        letters: DeadLetters,
    ) -> None:
        """Load every bundle in use.

        Raises:
            BundleError: none can be loaded.
        """
        keys = Keys(settings.redis.namespace)
        self._held = following.generations(lambda b: Computed(following.load(b), following.marks))
        self._held.step(
            time.monotonic()
        )  # else the marks of what is beside would go, and come again
        self._writer = VectorWriter(
            bundles=self._in_use(),
            sizes=EmbeddingSize(client, keys.embedding_size, settings.model.embedding_size),
            publisher=publisher,
            letters=letters,
            store=state_store(settings, client, FLOW, self._in_use()[0]),
            reader=reader,
        )
        self._again = VectorPass(
            settings.kafka,
            self._writer,
            self._in_use,
            following.marks,
            settings.model.repeat_per_s,
            settings.user.future_tolerance_ms,
        )
        self._held.start()

    def write(self, batch: VideoBatch) -> None:
        """One batch; see `VectorWriter.write`."""
        self._writer.write(batch)
        self._again.heard(batch)
        self.idle()

    def idle(self) -> None:
        """A moment between two batches."""
        self._again.step(time.monotonic())

    def close(self) -> None:
        """Let go of everything."""
        self._held.close()
        self._again.close()

    def _in_use(self) -> list[Bundle]:
        held = self._held.held
        return [held[b].bundle for b in self._held.lineup.bundles if b in held]
