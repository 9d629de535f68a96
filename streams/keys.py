"""Redis keys. `{0}` is the bucket: everything that one script touches lies in one hash slot."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Keys:
    """Keys of one deployment, all of them below `namespace`."""

    namespace: str
    bucket: int = 0

    def user(self, user_id: str) -> str:
        """The user's blob."""
        return f"{self.namespace}:{{{self.bucket}}}:user:{user_id}"

    def positions(self, flow: str) -> str:
        """Hash: source ("events:3") -> stored position of a flow."""
        return f"{self.namespace}:{{{self.bucket}}}:positions:{flow}"

    @property
    def embedding_size(self) -> str:
        """How many numbers the videos' own embeddings have in this deployment."""
        return f"{self.namespace}:{{{self.bucket}}}:embedding-size"

    @property
    def vector_marks(self) -> str:
        """Hash: which partitions of `videos` have vectors of which bundle (`streams.vector_marks`)."""
        return f"{self.namespace}:{{{self.bucket}}}:vector-marks"

    @property
    def holders(self) -> str:
        """Hash: which process holds which bundle (`streams.presence`)."""
        return f"{self.namespace}:{{{self.bucket}}}:holders"

    def stats(self, source: str) -> str:
        """Hash: statistics of one source partition; `position` is the offset they contain."""
        return f"{self.namespace}:{{{self.bucket}}}:stats:{source}"

    def stats_journal(self, source: str, name: str) -> str:
        """Hash: a change of such statistics, see `streams.stats_store`."""
        return f"{self.stats(source)}:journal:{name}"
