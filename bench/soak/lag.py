"""How far each flow is behind, asked of Kafka and Redis: a flow that hangs would not say."""

from typing import Final

from confluent_kafka import TopicPartition
from confluent_kafka.admin import OffsetSpec  # type: ignore[attr-defined]
from redis import Redis

from bench._engine import Engine
from contracts.topics import EVENTS, IMPRESSIONS, PROFILES, VIDEOS, Topic
from streams.positions import FlowPositions, StatePositions
from streams.topics import admin

FLOWS: Final[dict[str, tuple[Topic, ...]]] = {
    "user-state": (EVENTS, PROFILES, IMPRESSIONS),
    "video-stats": (EVENTS, IMPRESSIONS),
    "video-vectors": (VIDEOS,),
}
_ANSWER_S: Final = 5.0


class Lag:
    """Keeps its connection to Kafka; that to Redis is the caller's."""

    def __init__(self, engine: Engine, redis: Redis) -> None:
        self._admin = admin(engine.kafka_settings)
        keys = engine.keys
        self._positions: dict[str, FlowPositions | StatePositions] = {
            flow: StatePositions(redis, keys.stats)
            if flow == "video-stats"
            else FlowPositions(redis, keys.positions(flow))
            for flow in FLOWS
        }

    def behind(self) -> dict[str, int]:
        """Flow -> messages between its stored positions and the ends of its partitions."""
        ends, out = self._ends(), {}
        for flow, topics in FLOWS.items():
            stored = self._positions[flow].load([s for topic in topics for s in sources(topic)])
            out[flow] = sum(max(ends[s] - (at.offset if at else 0), 0) for s, at in stored.items())
        return out

    def _ends(self) -> dict[str, int]:
        topics = {topic.name: topic for of in FLOWS.values() for topic in of}.values()
        latest = OffsetSpec.latest()  # type: ignore[no-untyped-call]
        asked = self._admin.list_offsets(
            {TopicPartition(t.name, p): latest for t in topics for p in range(t.partitions)}
        )
        return {
            f"{part.topic}:{part.partition}": int(future.result(_ANSWER_S).offset)
            for part, future in asked.items()
        }


def sources(topic: Topic) -> list[str]:
    """Its partitions, as "events:3"."""
    return [f"{topic.name}:{p}" for p in range(topic.partitions)]
