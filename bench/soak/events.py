"""Generator: viewers' events straight into Kafka, from templates that were encoded beforehand.

Every fiftieth event is sent twice, one in 20,000 is broken. Every hundredth viewer is a heavy one
and every fiftieth video a hit, so that there are hot keys.
"""

import time
from collections import deque
from typing import Final

import numpy as np
from confluent_kafka import Producer

from bench.soak.pacing import Pace, Teller, ticks, world_of_arguments
from bench.soak.world import World, video_id, viewer_id
from contracts.settings import KafkaSettings
from contracts.topics import EVENTS
from streams.kafka import producer_config

_HEAD: Final = b'{"event_id":"%x","user_id":"%b","video_id":"%b","timestamp":%d,'
# (share in percent, rest of the message); {n} is the watched time in ms.
_TAILS: Final = (
    (52, '"event_type":"watch","watch_ms":{n},"duration_ms":30000}}'),
    (8, '"event_type":"watch_complete","context":{{"country":"DE","device":"phone"}}}}'),
    (15, '"event_type":"click"}}'),
    (10, '"event_type":"skip"}}'),
    (6, '"event_type":"like"}}'),
    (3, '"event_type":"share"}}'),
    (2, '"event_type":"search","query":"how to number {n}"}}'),
    (2, '"event_type":"follow"}}'),
    (1, '"event_type":"not_interested"}}'),
    (1, '"event_type":"rate","rating":4}}'),
)
TAILS: Final = tuple(
    text.format(n=997 * (i + 1) % 30_000).encode() for share, text in _TAILS for i in range(share)
)
_REPEATED, _BROKEN, _RECENT = 50, 20_000, 1000


def encoded(number: int, viewer: int, video: int, now_ms: int) -> tuple[bytes, bytes]:
    """(key, value) of the event of that number."""
    user = viewer_id(viewer).encode()
    head = _HEAD % (number, user, video_id(video).encode(), now_ms)
    return user, head + TAILS[number * 7 % len(TAILS)]


class Events:
    """Makes them, and remembers what was sent."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._rng = np.random.default_rng(0)
        self._recent: deque[tuple[bytes, bytes]] = deque(maxlen=_RECENT)
        self.sent = self.repeated = self.broken = 0

    def take(self, n: int, now_s: float) -> list[tuple[bytes, bytes]]:
        """The next n messages, and a few more that repeat earlier ones."""
        now_ms, out = int(now_s * 1000), []
        viewers = self._some(self._world.viewers_at(now_s), n, 100, 0.3)
        videos = self._some(self._world.videos_at(now_s), n, 50, 0.5)
        for viewer, video in zip(viewers, videos, strict=True):
            message = encoded(self.sent, viewer, video, now_ms)
            out.append(message)
            self._recent.append(message)
            self.sent += 1
            if self.sent % _REPEATED == 0:
                out.append(self._recent[self.sent * 31 % len(self._recent)])
                self.repeated += 1
            if self.sent % _BROKEN == 0:
                out.append((message[0], message[1][:-1]))
                self.broken += 1
        return out

    def _some(self, there: range, n: int, every: int, share: float) -> list[int]:
        """(n,) numbers; a share of them goes to every so-many-th."""
        numbers = self._rng.integers(there.start, there.stop, n)
        hot = self._rng.random(n) < share
        numbers[hot] -= numbers[hot] % every
        return [int(x) for x in np.maximum(numbers, there.start)]


def main() -> None:
    """Send until the world's end."""
    world = world_of_arguments()
    config = producer_config(KafkaSettings(bootstrap=world.bootstrap), linger_ms=5)
    producer = Producer(config | {"delivery.report.only.error": True})
    events, pace, refused = Events(world), Pace(world.events, world.began_s), list[str]()

    def said() -> dict[str, int]:
        return {
            "sent": events.sent, "repeated": events.repeated, "broken": events.broken,
            "skipped": pace.skipped, "refused": len(refused),
        }  # fmt: skip

    teller = Teller(said)
    for now_s in ticks(world):
        for key, value in events.take(pace.due(now_s), now_s):
            producer.produce(
                EVENTS.name, value, key, on_delivery=lambda e, _: refused.append(str(e))
            )
        producer.poll(0)
        teller.tell(now_s)
    producer.flush(10)
    teller.tell(time.time(), final=True)


if __name__ == "__main__":
    main()
