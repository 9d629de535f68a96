"""What a topic holds, read past every consumer group."""

from confluent_kafka import Consumer, Message, TopicPartition

from contracts.settings import Settings


def read_ends(settings: Settings, topic: str) -> dict[int, int]:
    """Partition -> offset behind its last message."""
    consumer = _consumer(settings)
    try:
        parts = _partitions(consumer, settings.kafka.topic_prefix + topic)
        return {p.partition: consumer.get_watermark_offsets(p, timeout=10)[1] for p in parts}
    finally:
        consumer.close()


def read_log(settings: Settings, topic: str) -> dict[int, list[Message]]:
    """All that a topic holds now: partition -> messages in the order of their offsets."""
    consumer = _consumer(settings)
    parts = _partitions(consumer, settings.kafka.topic_prefix + topic)
    marks = {p.partition: consumer.get_watermark_offsets(p, timeout=10) for p in parts}
    found: dict[int, list[Message]] = {p: [] for p in marks}
    for part in parts:
        part.offset = marks[part.partition][0]
    consumer.assign([part for part in parts if part.offset < marks[part.partition][1]])
    while any(p.offset < marks[p.partition][1] for p in consumer.position(consumer.assignment())):
        for m in consumer.consume(2000, 0.2):
            assert m.error() is None, m.error()
            found[m.partition() or 0].append(m)
    consumer.close()
    return found


def _consumer(settings: Settings) -> Consumer:
    return Consumer(
        {
            "bootstrap.servers": settings.kafka.bootstrap,
            "group.id": "test.log",
            "enable.auto.commit": False,
        }
    )


def _partitions(consumer: Consumer, name: str) -> list[TopicPartition]:
    known = consumer.list_topics(name, timeout=10).topics[name].partitions
    return [TopicPartition(name, p, 0) for p in sorted(known)]
