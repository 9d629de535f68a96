"""The composition root of the flows: settings -> clients -> one running flow.

`FLOWS` is all that `headrace stream NAME` knows. Each builds what it needs, catches up with the
catalog where it needs one, and blocks until `stop` is set.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from typing import Final

import redis

from contracts.metrics import AWAY
from contracts.models import Bundle
from contracts.settings import Settings
from contracts.user_record import user_dtype
from index_updater import vector_flow
from index_updater.embedding_size import EmbeddingSize
from model_runtime import bundles
from operators.catalog import Catalog
from operators.user_fold import UserFold
from streams import stats_flow, user_flow
from streams.catalog_follower import apply_vectors
from streams.dataflow import run_flow
from streams.dead_letters import DeadLetters
from streams.follower import TopicFollower
from streams.kafka import Publisher
from streams.keys import Keys
from streams.positions import FlowPositions, StatePositions
from streams.reader import PartitionReader, Positions
from streams.user_batch import TOPICS as USER_TOPICS
from streams.user_batch import decode_batch
from streams.user_flow import UserWriter, clock_ms
from streams.user_store import UserStore

_log = logging.getLogger(__name__)
_GATHER_S: Final = 0.1  # no event waits for the catalog, which takes few videos as dearly as many


def _redis(settings: Settings) -> redis.Redis:
    timeout = settings.redis.write_timeout_s
    return redis.Redis.from_url(
        settings.redis.url.get_secret_value(),
        socket_timeout=timeout,
        socket_connect_timeout=timeout,
    )


def _store(settings: Settings, client: redis.Redis, flow: str, bundle: Bundle) -> UserStore:
    return UserStore(
        client,
        Keys(settings.redis.namespace),
        flow,
        user_dtype(bundle.users.hidden, bundle.users.dim),
        keys_per_write=settings.stream.keys_per_write,
        ttl_days=settings.user.ttl_days,
    )


def _reader(
    settings: Settings,
    poll_ms: int,
    flow: str,
    topics: Sequence[str],
    positions: Positions,
    fetch_min_bytes: int = 1 << 16,
) -> PartitionReader:
    """The broker holds a fetch until a batch is due.

    At 5,000 events/s, fetches that every message answers cost the broker 43 us of processor an event
    instead of 36, and keep the client's thread in the flow three times as busy.
    """
    kafka = settings.kafka.model_copy(update={"fetch_wait_ms": poll_ms})
    stream = settings.stream.model_copy(update={"poll_ms": poll_ms})
    return PartitionReader(kafka, stream, flow, topics, positions, fetch_min_bytes)


def run_user_state(settings: Settings, stop: threading.Event) -> None:
    """events, profiles, impressions -> user state in Redis."""
    bundle = bundles.load(settings.model)
    catalog = Catalog(bundle.items.dim)
    fold = UserFold(bundle, catalog, settings.user)
    fold.compile(user_dtype(bundle.users.hidden, bundle.users.dim))
    follower = TopicFollower(
        settings.kafka,
        ["video-vectors"],
        lambda _, messages: apply_vectors(catalog, bundle.id, messages),
        gather_s=_GATHER_S,
    )
    AWAY.labels("catalog").set_function(follower.outage.seconds)
    follower.start()
    while not stop.is_set() and not follower.caught_up.wait(0.1):
        pass  # an event is folded with what the catalog knows: know it first
    client, keys = _redis(settings), Keys(settings.redis.namespace)
    publisher = Publisher(settings.kafka)
    positions = FlowPositions(client, keys.positions(user_flow.FLOW))
    reader = _reader(settings, settings.stream.poll_ms, user_flow.FLOW, USER_TOPICS, positions)
    writer = UserWriter(
        store=_store(settings, client, user_flow.FLOW, bundle),
        fold=fold,
        settings=settings.user,
        letters=DeadLetters(publisher, clock_ms),
        reader=reader,
        clock_ms=clock_ms,
    )
    tolerance = settings.user.future_tolerance_ms
    try:
        run_flow(user_flow.FLOW, reader, lambda b: decode_batch(b, tolerance), writer.write, stop)
    finally:
        follower.close()
        publisher.close()


def run_video_stats(settings: Settings, stop: threading.Event) -> None:
    """events, impressions -> decayed statistics, trending and neighbours on `video-stats`."""
    client, keys = _redis(settings), Keys(settings.redis.namespace)
    publisher = Publisher(settings.kafka)
    positions = StatePositions(client, keys.stats)
    # Nobody waits for a count: few large fetches and batches cost broker and flow a fraction.
    slow = settings.stats.poll_ms
    reader = _reader(settings, slow, stats_flow.FLOW, stats_flow.TOPICS, positions, 1 << 20)
    writer = stats_flow.StatsWriter(client, keys, settings, publisher, reader)
    try:
        run_flow(stats_flow.FLOW, reader, writer.decode, writer.write, stop, writer.flush_if_due)
    finally:
        publisher.close()


def run_video_vectors(settings: Settings, stop: threading.Event) -> None:
    """Videos -> vectors on `video-vectors`."""
    bundle = bundles.load(settings.model)
    client, keys = _redis(settings), Keys(settings.redis.namespace)
    publisher = Publisher(settings.kafka)
    positions = FlowPositions(client, keys.positions(vector_flow.FLOW))
    poll_ms = settings.stream.poll_ms
    reader = _reader(settings, poll_ms, vector_flow.FLOW, vector_flow.TOPICS, positions)
    writer = vector_flow.VectorWriter(
        bundle=bundle,
        sizes=EmbeddingSize(client, keys.embedding_size, settings.model.embedding_size),
        publisher=publisher,
        letters=DeadLetters(publisher, clock_ms),
        store=_store(settings, client, vector_flow.FLOW, bundle),
        reader=reader,
    )
    tolerance = settings.user.future_tolerance_ms
    try:
        run_flow(
            vector_flow.FLOW,
            reader,
            lambda b: vector_flow.decode_videos(b, tolerance),
            writer.write,
            stop,
        )
    finally:
        publisher.close()


FLOWS: Final[dict[str, Callable[[Settings, threading.Event], None]]] = {
    user_flow.FLOW: run_user_state,
    stats_flow.FLOW: run_video_stats,
    vector_flow.FLOW: run_video_vectors,
}
