"""Every Kafka topic: its name, key, cleanup policy and how long it is kept."""

from dataclasses import dataclass, field, replace
from typing import Final

from contracts.units import DAY_MS

# Longer than the events' retention and than the oldest snapshot that boot accepts: a tombstone that
# is compacted away earlier would let a removed video, or a forgotten person, come back.
TOMBSTONES_MS: Final = 30 * DAY_MS
EVENTS_MS: Final = 7 * DAY_MS
LARGEST_MESSAGE_BYTES: Final = 4 << 20  # a dead letter carries a 1 MB payload in base64


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic as `headrace topics create` makes it. `config` is in Kafka's own names."""

    name: str
    key: str
    partitions: int
    config: dict[str, str] = field(default_factory=dict)


def _log(name: str, key: str, partitions: int, retention_ms: int = EVENTS_MS) -> Topic:
    return Topic(
        name, key, partitions, {"cleanup.policy": "delete", "retention.ms": str(retention_ms)}
    )


def _table(name: str, key: str, partitions: int = 4) -> Topic:
    config = {"cleanup.policy": "compact", "delete.retention.ms": str(TOMBSTONES_MS)}
    return Topic(name, key, partitions, config)


def _stamped(topic: Topic) -> Topic:
    """The broker's clock stamps it, so that "too far in the future" is the same at every replay."""
    return replace(topic, config=topic.config | {"message.timestamp.type": "LogAppendTime"})


EVENTS: Final = _stamped(_log("events", "user_id", 8))
VIDEOS: Final = _table("videos", "video_id")
PROFILES: Final = _stamped(_table("profiles", "user_id"))
IMPRESSIONS: Final = _stamped(_log("impressions", "user_id", 4))
VIDEO_VECTORS: Final = _table("video-vectors", "video_id")
VIDEO_STATS: Final = _table("video-stats", "video|source")
MODELS: Final = _table("models", "bundle_id", 1)
TRAINING_EXAMPLES: Final = _log("training-examples", "user_id", 4, 30 * DAY_MS)
DEAD_LETTER: Final = Topic(
    "dead-letter",
    "source",
    4,
    {
        "cleanup.policy": "delete",
        "retention.ms": str(30 * DAY_MS),
        "max.message.bytes": str(LARGEST_MESSAGE_BYTES),
    },
)

TOPICS: Final = (
    EVENTS, VIDEOS, PROFILES, IMPRESSIONS, VIDEO_VECTORS, VIDEO_STATS, MODELS, TRAINING_EXAMPLES,
    DEAD_LETTER,
)  # fmt: skip
