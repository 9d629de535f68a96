"""Generator: videos are published, changed and removed; viewers come with a profile, and go.

Every second one who goes asks to be forgotten. Straight into Kafka, as an upload service would.
"""

import time
from collections import deque
from collections.abc import Iterator
from typing import Final

import msgspec
from confluent_kafka import Producer

from bench.soak.pacing import Teller, ticks, world_of_arguments
from bench.soak.world import World, video_id, viewer_id
from contracts.profiles import Profile, encode_profile
from contracts.settings import KafkaSettings
from contracts.topics import PROFILES, VIDEOS
from contracts.videos import Video, encode_video
from headrace.simulator.catalogue import Catalogue
from headrace.simulator.words import CATEGORIES
from streams.kafka import producer_config

_CREATORS: Final = 500
_PRIMING: Final = 500  # videos between two looks at the queue
Message = tuple[str, str, bytes | None]  # topic, key, value


class Publishing:
    """The same videos in the same order in every process of a run."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._catalogue = Catalogue(0, _CREATORS)
        self._there: deque[Video] = deque(maxlen=world.videos)
        self._changes = 0
        self._viewers = world.viewers_at(world.began_s)
        self._videos = world.videos_at(world.began_s)
        self.counts = {"published": 0, "changed": 0, "removed": 0, "came": 0, "left": 0}

    def first(self, now_ms: int) -> Iterator[Message]:
        """What is published before the run begins."""
        for _ in range(self._world.videos):
            yield self._publish(now_ms)

    def take(self, now_s: float) -> Iterator[Message]:
        """What has happened since the last call."""
        now_ms, viewers = int(now_s * 1000), self._world.viewers_at(now_s)
        videos = self._world.videos_at(now_s)
        for number in range(self._videos.stop, videos.stop):
            yield self._publish(now_ms)
            yield self._change(number, now_ms)
        for number in range(self._videos.start, videos.start):
            self.counts["removed"] += 1
            yield VIDEOS.name, video_id(number), None
        for number in range(self._viewers.stop, viewers.stop):
            self.counts["came"] += 1
            yield PROFILES.name, viewer_id(number), _profile(number, now_ms)
        for number in range(self._viewers.start, viewers.start):
            self.counts["left"] += 1
            if number % 2:
                yield PROFILES.name, viewer_id(number), None
        self._viewers, self._videos = viewers, videos

    def _publish(self, now_ms: int) -> Message:
        _, video = self._catalogue.make(now_ms)
        self._there.append(video)
        self.counts["published"] += 1
        return VIDEOS.name, video.video_id, encode_video(video)

    def _change(self, number: int, now_ms: int) -> Message:
        """Some video gets title and tags of another one, and with them another vector."""
        self._changes += 1
        margin = len(self._there) // 4  # not one that is just being removed
        at = margin + number * 7919 % (len(self._there) - margin)
        old, other = self._there[at], self._there[-1]
        video = msgspec.structs.replace(
            old, title=f"{other.title} ({self._changes})", tags=other.tags, published_at=now_ms
        )
        self._there[at] = video
        self.counts["changed"] += 1
        return VIDEOS.name, video.video_id, encode_video(video)


def _profile(number: int, now_ms: int) -> bytes:
    country = ("DE", "AT", "US", "GB", "ES", "MX")[number % 6]
    interests = (CATEGORIES[number % len(CATEGORIES)],)
    age = 18 + number % 50
    return encode_profile(
        Profile(viewer_id(number), country, age=age, interests=interests, created_at=now_ms)
    )


def prime(world: World) -> None:
    """Publish what is there when the run begins."""
    producer = Producer(producer_config(KafkaSettings(bootstrap=world.bootstrap)))
    for i, (topic, key, value) in enumerate(Publishing(world).first(int(time.time() * 1000))):
        producer.produce(topic, value, key.encode())
        if i % _PRIMING == 0:
            producer.flush(30)
    producer.flush(30)


def main() -> None:
    """Publish until the world's end."""
    world = world_of_arguments()
    config = producer_config(KafkaSettings(bootstrap=world.bootstrap), linger_ms=5)
    producer, publishing = Producer(config), Publishing(world)
    for _ in publishing.first(int(world.began_s * 1000)):
        pass  # those are there already
    teller = Teller(lambda: dict(publishing.counts))
    for now_s in ticks(world):
        for topic, key, value in publishing.take(now_s):
            producer.produce(topic, value, key.encode())
        producer.poll(0)
        teller.tell(now_s)
    producer.flush(10)
    teller.tell(time.time(), final=True)


if __name__ == "__main__":
    main()
