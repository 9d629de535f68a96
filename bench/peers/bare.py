"""The same fold in a loop that a person would write in an afternoon: consume, MGET, fold, MSET, commit.

It has the engine's decoder, catalog and fold, and none of its care: no Bytewax, no compare-and-set, no
stored positions, no dead letters, no metrics. `python -m bench.peers.bare EVENTS` with the
engine's settings in the environment; it prints one line of JSON.
"""

import gc
import os
import sys
import time
from collections.abc import Sequence
from typing import Final, cast

import numpy as np
from confluent_kafka import Consumer, Message
from redis import Redis

from bench.peers.meter import Meter
from contracts.settings import KafkaSettings, Settings
from contracts.topics import EVENTS
from contracts.user_record import user_dtype
from headrace.environment import read_settings
from model_runtime import bundles
from operators.blobs import from_blobs, to_blobs
from operators.catalog import Catalog
from operators.derive import derive
from operators.event_columns import RawMessages, decode_events
from operators.offsets import slot_key
from operators.user_fold import UserFold
from streams.catalog_follower import apply_vectors
from streams.follower import TopicFollower
from streams.kafka import client_config
from streams.keys import Keys

_CATALOG_S: Final = 120.0


class Folder:
    """Decodes and folds micro-batches of events into blobs in Redis."""

    def __init__(self, settings: Settings, client: Redis) -> None:
        bundle = bundles.load(settings.model)
        self._client, self._keys = client, Keys(settings.redis.namespace)
        self._dtype = user_dtype(bundle.users.hidden, bundle.users.dim)
        self._catalog = catalog(settings.kafka, bundle.items.dim, bundle.id)
        self._fold = UserFold(bundle, self._catalog, settings.user)
        self._fold.compile(self._dtype)
        self._tolerance_ms = settings.user.future_tolerance_ms

    def __call__(self, messages: Sequence[Message]) -> None:
        """All of one micro-batch, durable as far as Redis is when it returns."""
        events, _ = decode_events(raw(messages), self._tolerance_ms)
        keys = [self._keys.user(user) for user in events.users]
        blobs = cast(list[bytes | None], self._client.mget(keys))
        records = from_blobs(blobs, self._dtype)
        derive(records, self._fold.bundle, self._catalog)
        self._fold(records, events, {}, time.time_ns() // 1_000_000)
        self._client.mset(dict(zip(keys, to_blobs(records), strict=True)))


def raw(messages: Sequence[Message]) -> RawMessages:
    """What the decoder takes."""
    n = len(messages)
    return RawMessages(
        [m.value() for m in messages],
        [m.key() for m in messages],
        np.fromiter((slot_key(0, EVENTS.name, m.partition() or 0) for m in messages), np.int64, n),
        np.fromiter((m.offset() or 0 for m in messages), np.int64, n),
        np.fromiter((m.timestamp()[1] for m in messages), np.int64, n),
    )


def catalog(kafka: KafkaSettings, dim: int, bundle_id: str) -> Catalog:
    """What `video-vectors` holds by now."""
    videos = Catalog(dim)
    follower = TopicFollower(
        kafka, ["video-vectors"], lambda _, got: apply_vectors(videos, bundle_id, got)
    )
    follower.start()
    follower.caught_up.wait(_CATALOG_S)
    follower.close()
    return videos


def main(events: int) -> None:
    """Fold so many events."""
    settings = read_settings(os.environ)
    stream, n = settings.stream, 0
    url = settings.redis.url.get_secret_value()
    fold, meter = Folder(settings, Redis.from_url(url)), Meter()
    consumer = Consumer(
        client_config(settings.kafka)
        | {
            "group.id": f"headrace.bare.{os.getpid()}",  # one that has read nothing yet
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "fetch.queue.backoff.ms": 10,
            "fetch.wait.max.ms": settings.kafka.fetch_wait_ms,
            "fetch.message.max.bytes": 4 << 20,
        }
    )
    consumer.subscribe([settings.kafka.topic_prefix + EVENTS.name])
    gc.collect()
    gc.freeze()
    while n < events:
        messages = consumer.consume(stream.batch_events, stream.poll_ms / 1000)
        if not messages:
            continue
        fold(messages)
        consumer.commit(asynchronous=True)
        n += len(messages)
        meter.batch(n)
    meter.report()
    consumer.close()


if __name__ == "__main__":
    main(int(sys.argv[1]))
