"""The composition root of a serving process: clients, statistics, and an engine for each bundle in use."""

import logging
import threading
from collections.abc import Callable
from typing import Final

import redis.asyncio

from api.app import app_of
from api.dependencies import Dependencies
from api.engine import Engine
from api.rehearsal import rehearse
from contracts.errors import HeadraceError
from contracts.lineup import Lineup
from contracts.settings import Settings
from headrace.lineup import Following
from headrace.redis_clients import blocking_client
from index_updater import snapshot
from index_updater.followed_videos import FollowedVideos
from index_updater.serving_state import ServingState
from streams.completeness import Completeness
from streams.kafka import Publisher
from streams.keys import Keys
from streams.presence import SERVING
from streams.user_reader import UserReader

_log = logging.getLogger(__name__)
_LINEUP_S: Final = 5.0


class Served:
    """All of one bundle: its videos, and the engine that answers from them.

    Attributes:
        videos: catalog and index.
    """

    def __init__(self, videos: FollowedVideos, engine: Engine, complete: Completeness) -> None:
        self.videos, self.engine, self._complete = videos, engine, complete
        self._rehearsed = False

    def ready(self) -> bool:
        """Whether it has every video, and has made a feed of them."""
        if not self._complete():
            return False
        self.rehearse()
        return True

    def rehearse(self) -> None:
        """Once: the first viewer does not wait for what is compiled or loaded at first use."""
        if not self._rehearsed:
            self._rehearsed = True
            self.videos.take_over()
            rehearse(self.engine.deps)

    def close(self) -> None:
        """Stop following."""
        self.videos.close()


class Serving:
    """One worker process.

    Attributes:
        app: asks for the current engine once a request: no answer mixes bundles.
    """

    def __init__(
        self,
        settings: Settings,
        client: redis.asyncio.Redis,
        clock_ms: Callable[[], int],
        metrics_folder: str | None = None,
    ) -> None:
        """Build everything; nothing is read yet but the lineup.

        Raises:
            HeadraceError: no bundle that can be served.
        """
        self._settings, self._client, self._clock_ms = settings, client, clock_ms
        self._metrics_folder = metrics_folder
        self._publisher = Publisher(settings.kafka)
        self._following = Following(settings, blocking_client(settings.redis), SERVING)
        if not self._following.wait(threading.Event(), _LINEUP_S):
            self._following.first = _last_lineup(settings)
        self.state = ServingState(settings, clock_ms, lambda: self._served.current.videos)
        self._first = True
        self._served = self._following.generations(self._build)
        self._served.on_switch = self._switch
        self.app = app_of(settings.api, lambda: self._served.current.engine)
        self.app.on_shutdown.append(self.close)

    def start(self) -> None:
        """Follow all topics, in the background."""
        self.state.start()
        self._served.start()

    def rehearse(self) -> None:
        """See `Served.rehearse`."""
        self._served.current.rehearse()

    async def close(self) -> None:
        """Stop all threads and close all clients."""
        self._following.close()
        self._served.close()
        self.state.close()
        self._publisher.close()
        await self._client.aclose()

    def _build(self, bundle_id: str) -> Served:
        settings, bundle = self._settings, self._following.load(bundle_id)
        before = None if self._first else self._served.current
        videos = FollowedVideos(settings, bundle, self._clock_ms, before.videos if before else None)
        keys = Keys(settings.redis.namespace)
        deps = Dependencies(
            settings=settings,
            bundle=bundle,
            catalog=videos.catalog,
            index=videos.index,
            board=self.state.board,
            users=UserReader(self._client, keys, bundle, videos.catalog, settings.redis.timeout_s),
            publisher=self._publisher,
            ready=self.state.ready,
            clock_ms=self._clock_ms,
            metrics_folder=self._metrics_folder,
        )
        engine = Engine(deps, before.engine if before else None)
        complete = Completeness(settings.kafka, self._following.marks, bundle_id, videos.follower)
        videos.start()
        self._first = False
        return Served(videos, engine, complete)

    def _switch(self, new: Served) -> None:
        self._served.current.videos.live = False
        new.videos.live = True


def _last_lineup(settings: Settings) -> Lineup:
    """What was live when the snapshot was taken; else what the settings say."""
    folder = settings.index.snapshot_dir
    bundle = settings.model.bundle
    try:
        about = snapshot.meta(folder) if folder else None
        bundle = str(about["bundle"]) if about else bundle
    except HeadraceError as e:
        _log.warning("%s", e)
    _log.warning("Kafka does not say which bundle is live: serving %s meanwhile", bundle)
    return Lineup(bundle)
