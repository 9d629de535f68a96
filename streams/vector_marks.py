"""Which bundles have a vector of every video: said by the vector flow, partition by partition.

A mark means that every video of the partition up to the flow's position has its vector on
`video-vectors`, and that the flow goes on making them. It goes when the flow no longer does.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

import redis

_OF: Final = "partitions"  # how many `videos` has


@dataclass(frozen=True, slots=True)
class VectorMarks:
    """Fields `bundle|videos:3` -> id of the topic, in one hash. Every method raises redis.RedisError."""

    client: redis.Redis
    key: str

    def set(self, bundle: str, source: str, topic_id: str, partitions: int) -> None:
        """All videos of `source` have vectors of `bundle`."""
        self.client.hset(self.key, mapping={f"{bundle}|{source}": topic_id, _OF: partitions})

    def has(self, bundle: str, source: str, topic_id: str) -> bool:
        """Whether it is marked, and of this very topic."""
        found = self.client.hget(self.key, f"{bundle}|{source}")
        return found is not None and _text(found) == topic_id

    def keep_only(self, bundles: Collection[str], sources: Collection[str]) -> None:
        """These bundles are still made; all others lose their marks of these partitions."""
        stale = [
            field
            for field in self._fields()
            if field != _OF
            and field.rpartition("|")[2] in sources
            and field.rpartition("|")[0] not in bundles
        ]
        if stale:
            self.client.hdel(self.key, *stale)

    def progress(self, bundle: str) -> tuple[int, int]:
        """How many partitions are marked, of how many; (0, 0) before any flow has said anything."""
        fields = self._fields()
        marked = sum(field.rpartition("|")[0] == bundle for field in fields if field != _OF)
        return marked, int(fields.get(_OF, 0))

    def complete(self, bundle: str) -> bool:
        """Whether all partitions are marked."""
        marked, of = self.progress(bundle)
        return of > 0 and marked >= of

    def _fields(self) -> Mapping[str, str]:
        return {_text(k): _text(v) for k, v in self.client.hgetall(self.key).items()}


def _text(raw: bytes | str) -> str:
    return raw if isinstance(raw, str) else raw.decode("utf-8", "replace")
