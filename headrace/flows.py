"""The composition root of the flows: settings -> clients -> one running flow.

`FLOWS` is all that `headrace stream NAME` knows. Each builds what it needs, catches up with the
catalog where it needs one, and blocks until `stop` is set.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from typing import Final

from contracts.metrics import AWAY
from contracts.settings import Settings
from headrace.computing import Computing
from headrace.folding import Folding
from headrace.lineup import Following
from headrace.redis_clients import blocking_client
from index_updater import vector_flow
from streams import stats_flow, user_flow
from streams.dataflow import run_flow
from streams.dead_letters import DeadLetters
from streams.kafka import Publisher
from streams.keys import Keys
from streams.positions import FlowPositions, StatePositions
from streams.reader import PartitionReader, Positions
from streams.user_batch import TOPICS as USER_TOPICS
from streams.user_batch import decode_batch
from streams.user_flow import clock_ms

_log = logging.getLogger(__name__)


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
    client, keys = blocking_client(settings.redis), Keys(settings.redis.namespace)
    following = Following(settings, client, user_flow.FLOW)
    if not following.wait(stop):
        return
    publisher = Publisher(settings.kafka)
    positions = FlowPositions(client, keys.positions(user_flow.FLOW))
    reader = _reader(settings, settings.stream.poll_ms, user_flow.FLOW, USER_TOPICS, positions)
    folding = Folding(settings, client, following, reader, DeadLetters(publisher, clock_ms))
    AWAY.labels("catalog").set_function(folding.catalog_away_s)
    folding.wait(stop)
    tolerance = settings.user.future_tolerance_ms
    try:
        run_flow(
            user_flow.FLOW, reader, lambda b: decode_batch(b, tolerance), folding.write, stop,
            folding.idle,
        )  # fmt: skip
    finally:
        following.close()
        folding.close()
        publisher.close()


def run_video_stats(settings: Settings, stop: threading.Event) -> None:
    """events, impressions -> decayed statistics, trending and neighbours on `video-stats`."""
    client, keys = blocking_client(settings.redis), Keys(settings.redis.namespace)
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
    """Videos -> vectors of every bundle in use, on `video-vectors`."""
    client, keys = blocking_client(settings.redis), Keys(settings.redis.namespace)
    following = Following(settings, client, vector_flow.FLOW)
    if not following.wait(stop):
        return
    publisher = Publisher(settings.kafka)
    positions = FlowPositions(client, keys.positions(vector_flow.FLOW))
    poll_ms = settings.stream.poll_ms
    reader = _reader(settings, poll_ms, vector_flow.FLOW, vector_flow.TOPICS, positions)
    letters = DeadLetters(publisher, clock_ms)
    computing = Computing(settings, client, following, reader, publisher, letters)
    tolerance = settings.user.future_tolerance_ms
    try:
        run_flow(
            vector_flow.FLOW, reader, lambda b: vector_flow.decode_videos(b, tolerance),
            computing.write, stop, computing.idle,
        )  # fmt: skip
    finally:
        following.close()
        computing.close()
        publisher.close()


FLOWS: Final[dict[str, Callable[[Settings, threading.Event], None]]] = {
    user_flow.FLOW: run_user_state,
    stats_flow.FLOW: run_video_stats,
    vector_flow.FLOW: run_video_vectors,
}
