"""How many numbers the videos' own embeddings have: one size for a deployment, agreed on in Redis.

Sizes come from different models, whose spaces have nothing in common. The setting decides; without
one, the first embedding that any process of the flow ever saw does, and restarts do not forget it.
"""

import redis

from contracts.videos import Video


class EmbeddingSize:
    """Raises redis.RedisError when it has to ask and Redis does not answer."""

    def __init__(self, client: redis.Redis, key: str, setting: int | None) -> None:
        self._client, self._key, self._size = client, key, setting

    def agreed(self) -> int | None:
        """The size, None while nobody has seen an embedding."""
        if self._size is None:
            found = self._client.get(self._key)
            self._size = None if found is None else int(found)
        return self._size

    def problem_of(self, video: Video) -> str | None:
        """Why the video's embedding is of no use here, None if it is (or there is none)."""
        if not video.embedding:
            return None
        if self._size is None:
            self._client.set(self._key, len(video.embedding), nx=True)
            self._size = int(self._client.get(self._key) or len(video.embedding))
        if len(video.embedding) == self._size:
            return None
        return (
            f"embedding of {len(video.embedding)} numbers, this deployment's have {self._size}; "
            "HEADRACE_MODEL__EMBEDDING_SIZE sets it"
        )
