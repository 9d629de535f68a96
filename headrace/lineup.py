"""What every process of the engine needs to follow the lineup: settings -> topic, loader, generations."""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, TypeVar

import redis

from contracts.errors import BundleError
from contracts.lineup import Lineup
from contracts.models import Bundle
from contracts.settings import Settings, StatsSettings
from index_updater.embedding_size import EmbeddingSize
from model_runtime import bundles
from streams.generations import Generation, Generations
from streams.keys import Keys
from streams.models_topic import ModelsTopic
from streams.presence import Presence
from streams.vector_marks import VectorMarks

_log = logging.getLogger(__name__)
_LOOK_EVERY_S: Final = 0.1
G = TypeVar("G", bound=Generation)


@dataclass(slots=True)
class Following:
    """The topic `models`, and what builds a bundle that it names.

    Attributes:
        first: the lineup at the start.
    """

    settings: Settings
    client: redis.Redis
    role: str
    topic: ModelsTopic = field(init=False)
    first: Lineup = field(init=False)

    def __post_init__(self) -> None:
        self.topic = ModelsTopic(self.settings.kafka)
        self.first = Lineup(self.settings.model.bundle)

    def wait(self, stop: threading.Event, timeout_s: float | None = None) -> bool:
        """Read the topic; whether it was read before `stop`, or the time was over."""
        self.topic.start()
        self._open_registry()
        waited_s = 0.0
        while not self.topic.caught_up(_LOOK_EVERY_S):
            waited_s += _LOOK_EVERY_S
            if stop.is_set() or (timeout_s is not None and waited_s >= timeout_s):
                return False
        self.first = self.topic.lineup or self.first
        return True

    def generations(self, build: Callable[[str], G]) -> Generations[G]:
        """One generation for each bundle in use, from now on as the topic says.

        Raises:
            BundleError: no bundle of the lineup can be built.
        """
        made = Generations(self.first, build, self.presence)
        self.topic.on_lineup = made.hear
        if self.topic.lineup is not None:
            made.hear(self.topic.lineup)
        return made

    def load(self, bundle_id: str) -> Bundle:
        """A bundle that fits the videos of this deployment.

        Raises:
            BundleError: see `bundles.load`.
        """
        bundle = bundles.load(settings_for(self.settings, self.client).model, bundle_id)
        if told := misfit(bundle, self.settings.stats):
            _log.warning("%s", told)
        return bundle

    def _open_registry(self) -> None:
        """Now: what a file system imports takes a while, and a promotion comes under traffic."""
        if self.settings.model.registry is not None:
            try:
                bundles.registry(self.settings.model).folders()
            except BundleError as e:  # what is built in can be served all the same
                _log.warning("the registry does not answer: %s", e)

    @property
    def presence(self) -> Presence:
        """Where this process says what it holds."""
        return Presence(self.client, Keys(self.settings.redis.namespace).holders, self.role)

    @property
    def marks(self) -> VectorMarks:
        """Which bundles have all their vectors."""
        return VectorMarks(self.client, Keys(self.settings.redis.namespace).vector_marks)

    def close(self) -> None:
        """Stop following."""
        self.topic.close()


def misfit(bundle: Bundle, stats: StatsSettings) -> str | None:
    """What of a bundle does not go with the statistics here: it is served all the same, but worse."""
    learned = bundle.appeal.trend_half_life_h if bundle.appeal else 0.0
    if learned in (0.0, stats.trend_half_life_h):
        return None
    return (
        f"{bundle.id} learned its appeal where what trends fades by half in {learned:g} h, here it does "
        f"in {stats.trend_half_life_h:g} h: train it anew, or set HEADRACE_STATS__TREND_HALF_LIFE_H"
    )


def settings_for(settings: Settings, client: redis.Redis) -> Settings:
    """With the size of embeddings that the deployment has agreed on, where settings do not say it."""
    key, said = Keys(settings.redis.namespace).embedding_size, settings.model.embedding_size
    try:
        size = EmbeddingSize(client, key, said).agreed()
    except redis.RedisError as e:
        _log.warning("Redis does not say the size of embeddings: %s", e)
        return settings
    return settings.model_copy(
        update={"model": settings.model.model_copy(update={"embedding_size": size})}
    )
