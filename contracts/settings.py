"""Every setting: one frozen tree, read once by the entry point (`headrace.environment`).

Environment variables are `HEADRACE_<SECTION>__<NAME>`, for example `HEADRACE_REDIS__URL`. An unknown
one is refused at both levels, so that a typing error cannot be a silent default.
"""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator
from pydantic_core import PydanticCustomError

from contracts.redis_url import FORM, is_redis_url


class Section(BaseModel):
    """A frozen part of the tree that refuses unknown names."""

    # An error may be printed by whoever did not expect it, and a value may be a secret.
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class KafkaSettings(Section):
    """Where the broker is, and how to be let in."""

    bootstrap: str = "127.0.0.1:9092"
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"] | None = None
    sasl_username: str | None = None
    sasl_password: SecretStr | None = None
    ssl_ca_location: Path | None = None
    ssl_certificate_location: Path | None = None
    ssl_key_location: Path | None = None
    topic_prefix: str = Field("", description="Put before every topic's name.")
    replication_factor: int = Field(1, ge=1)
    fetch_wait_ms: int = Field(100, ge=1, description="Longest that the broker may hold a fetch.")


class RedisSettings(Section):
    """Where the user state is. `rediss://` is TLS; the URL may carry a password."""

    url: SecretStr = SecretStr("redis://127.0.0.1:6379/0")
    timeout_s: float = Field(0.075, gt=0, description="Of one read on the feed's path.")
    write_timeout_s: float = Field(5.0, gt=0)
    namespace: str = Field("headrace", min_length=1, description="First part of every key.")

    @field_validator("url")
    @classmethod
    def _has_the_form(cls, url: SecretStr) -> SecretStr:
        if not is_redis_url(url.get_secret_value()):
            raise PydanticCustomError("redis_url", "a Redis URL is {form}", {"form": FORM})
        return url


class StreamSettings(Section):
    """How a flow reads and writes."""

    process_index: int = Field(0, ge=0, description="k of n: this process takes p mod n = k.")
    process_count: int = Field(1, ge=1)
    batch_events: int = Field(10_000, ge=1)  # 20,000 is 1.1x faster and twice the memory
    poll_ms: int = Field(10, ge=1, description="Micro-batches begin so far apart, or further.")
    queue_kbytes: int = Field(32_768, ge=64, description="Bound of what is fetched ahead.")
    keys_per_write: int = Field(200, ge=1, description="Larger scripts stall the feed's reads.")
    recent_states: int = Field(
        32_768, ge=0, description="Of people, 5 KB each, that the user flow does not read again."
    )
    flush_every_ms: int = Field(
        3000, ge=1, description="How often statistics that change all the time are published."
    )
    partitions_every_s: float = Field(30.0, gt=0, description="Look for new partitions this often.")
    nice: int = Field(
        5, ge=0, le=19, description="Of the user flow: a feed on the same machine goes first."
    )
    background_nice: int = Field(
        10, ge=0, le=19, description="Of the flows that no viewer waits for: statistics and videos."
    )


class UserSettings(Section):
    """What the user state remembers, and for how long."""

    session_gap_min: float = Field(30.0, gt=0)
    affinity_half_life_h: float = Field(72.0, gt=0)
    shown_for_h: float = Field(
        6.0,
        gt=0,
        description="A shown video is held back so long (twice at most), or until 150 more.",
    )
    ttl_days: float = Field(90.0, gt=0, description="An idle user's state expires after so long.")
    future_tolerance_ms: int = Field(
        300_000, ge=0, description="Beyond it the broker's time counts."
    )


class StatsSettings(Section):
    """Decayed statistics, trending and co-watching."""

    count_half_life_h: float = Field(168.0, gt=0)
    trend_half_life_h: float = Field(1.0, gt=0)
    trend_window_min: float = Field(10.0, gt=0, description="A person counts once a video in it.")
    videos_per_partition: int = Field(32_768, ge=16)
    viewers_per_partition: int = Field(65_536, ge=16)
    poll_ms: int = Field(
        200,
        ge=1,
        description="How long a batch may wait to fill: they are flushed every few seconds.",
    )


class IndexSettings(Section):
    """The live index. Sizes in rows, see `index_updater.live_index`."""

    structure: Literal["hnsw", "cells"] = Field(
        "cells", description="How near rows are found: cells read whole, or links of a graph."
    )
    m: int = Field(16, ge=4, le=64, description="Of HNSW.")
    ef_construction: int = Field(100, ge=10, description="Of HNSW.")
    ef_search: int = Field(
        600,
        ge=10,
        description="Least effort of a search; in cells it ends 32 rows for each after the last find.",
    )
    tail_rows: int = Field(2048, ge=1, description="Exact rows in front of the graph.")
    pause_ms: float = Field(1.0, gt=0, description="Longest that an insertion holds readers up.")
    rebuild_tombstones: float = Field(0.25, gt=0, lt=1)
    recall_floor: float = Field(0.98, gt=0, le=1)
    recall_every_s: float = Field(
        20.0, gt=0, description="Or further apart, so that it takes a hundredth of a core at most."
    )
    snapshot_dir: Path | None = None
    snapshot_every_s: float = Field(300.0, gt=0)
    snapshot_max_age_days: float = Field(20.0, gt=0, description="Older ones are not booted from.")


class FeedSettings(Section):
    """Sizes, deadlines and weights of the funnel."""

    deadline_ms: float = Field(150.0, gt=0, description="Of the whole request.")
    source_deadline_ms: float = Field(40.0, gt=0)
    at_once: int = Field(
        1,
        ge=1,
        description="Funnels at the same time in a worker; more than one only if a source waits.",
    )
    after_wait_ms: float = Field(
        400.0, ge=0, description="How long a position token may hold a feed."
    )
    two_tower: int = Field(300, ge=1)
    neighbours: int = Field(100, ge=1)
    trending: int = Field(50, ge=1)
    similar: int = Field(50, ge=1)
    fresh: int = Field(50, ge=1)
    freshness_half_life_d: float = Field(7.0, gt=0)
    mmr_lambda: float = Field(0.7, ge=0, le=1)
    explore_every: int = Field(10, ge=2, description="One slot in so many is given to exploration.")
    explore_below_impressions: float = Field(50.0, ge=0)


class ApiSettings(Section):
    """The HTTP server."""

    host: str = "127.0.0.1"
    port: int = Field(8080, ge=0, le=65535)
    workers: int = Field(1, ge=1)
    token_secret: SecretStr | None = Field(None, description="Signs tracking and page tokens.")
    keys: tuple[SecretStr, ...] = Field(
        (), description="If any, a request has to bear one of them."
    )
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    max_body_bytes: int = Field(4 << 20, ge=1024)
    body_timeout_s: float = Field(10.0, gt=0, description="A body that is slower is a 408.")
    header_timeout_s: float = Field(
        30.0, ge=0.1, le=60, description="A connection that sends no whole header is ended."
    )
    connections: int = Field(
        16_384, ge=16, description="Open at once, a worker; as far as the limit of open files goes."
    )
    metrics_dir: Path | None = Field(None, description="Shared by the worker processes.")


class MetricsSettings(Section):
    """Where a flow serves its own /metrics. Port 0: none."""

    host: str = "127.0.0.1"
    port: int = Field(0, ge=0, le=65535)


class ModelSettings(Section):
    """Which bundle turns videos and viewers into vectors."""

    bundle: str = Field("day0", description="The one to begin with, until another is promoted.")
    registry: str | None = Field(
        None, description="Where bundles lie: a folder, or a URL (fsspec); day0 needs none."
    )
    repeat_per_s: int = Field(
        2000, ge=1, description="Videos that get the vector of a bundle that is made ready."
    )
    warm_per_s: int = Field(
        500, ge=0, description="People whose state is derived again after a switch."
    )
    embedding_size: int | None = Field(
        None,
        ge=1,
        le=4096,
        description="Of the videos' own embeddings; else of the first one seen.",
    )


class Settings(Section):
    """The root of the tree."""

    kafka: KafkaSettings = KafkaSettings()
    redis: RedisSettings = RedisSettings()
    stream: StreamSettings = StreamSettings()
    user: UserSettings = UserSettings()
    stats: StatsSettings = StatsSettings()
    index: IndexSettings = IndexSettings()
    feed: FeedSettings = FeedSettings()
    api: ApiSettings = ApiSettings()
    metrics: MetricsSettings = MetricsSettings()
    model: ModelSettings = ModelSettings()
    data: Path | None = Field(None, description="HEADRACE_DATA: folder of public logs to replay.")
