"""What the vector flow holds for one bundle: the bundle, and whether it has its vectors made."""

from dataclasses import dataclass

import redis

from contracts.models import Bundle
from streams.vector_marks import VectorMarks


@dataclass(frozen=True, slots=True)
class Computed:
    """A generation of the vector flow."""

    bundle: Bundle
    marks: VectorMarks

    def ready(self) -> bool:
        """Whether every video has its vector."""
        try:
            return self.marks.complete(self.bundle.id)
        except redis.RedisError:
            return False

    def close(self) -> None:
        """Nothing is open."""
