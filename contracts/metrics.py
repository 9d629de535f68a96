"""Every metric. Seconds and `_total`; labels come from closed sets of component names, never ids."""

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

_LATENCY: Final = (
    0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5,
    1.0, 2.5, 5.0, 10.0,
)  # fmt: skip
_FRESHNESS: Final = (
    0.002, 0.005, 0.01, 0.015, 0.02, 0.03, 0.04, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1.0,
    2.0, 5.0, 10.0, 30.0, 60.0, 600.0,
)  # fmt: skip
_STEP: Final = (
    0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.003, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5,
)  # fmt: skip

EVENT_TO_STATE = Histogram(
    "headrace_event_to_state_seconds",
    "Producer's timestamp of an event to its user's state in Redis.",
    buckets=_FRESHNESS,
)
EVENT_TO_FEED = Histogram(
    "headrace_event_to_feed_seconds",
    "Producer's timestamp of a viewer's newest event to the first feed that contains it; "
    "the time that the viewer waited before asking is left out.",
    buckets=_FRESHNESS,
)
VIDEO_TO_INDEX = Histogram(
    "headrace_video_to_index_seconds",
    "Producer's timestamp of a video to the return of its upsert in this replica.",
    buckets=_FRESHNESS,
)
FEED_SECONDS = Histogram(
    "headrace_feed_seconds", "One feed request in the server.", ["rung"], buckets=_LATENCY
)
STEP_SECONDS = Histogram(
    "headrace_step_seconds", "One component of the funnel.", ["stage", "step"], buckets=_STEP
)
STEP_FAILED = Counter(
    "headrace_step_failed_total", "Failures of a component that the funnel absorbed.",
    ["stage", "step"],
)  # fmt: skip
ROWS_REMOVED = Counter("headrace_rows_removed_total", "Candidates a filter removed.", ["filter"])
RUNG = Gauge(
    "headrace_rung",
    "The rung of the newest feed: 0 full, 1 no_ranker, 2 no_user_state, 3 trending, 4 static.",
    multiprocess_mode="livemax",
)
INDEX_RECALL = Gauge(
    "headrace_index_recall_ratio",
    "Live recall of the index against exact search.",
    multiprocess_mode="livemin",
)
INDEX_VIDEOS = Gauge(
    "headrace_index_videos", "Retrievable videos in a replica.", multiprocess_mode="livemin"
)
INDEX_TAIL = Gauge(
    "headrace_index_tail_rows", "Rows searched exactly, not in the graph yet.",
    multiprocess_mode="livemax",
)  # fmt: skip
INDEX_TOMBSTONES = Gauge(
    "headrace_index_tombstone_ratio", "Dead share of the graph.", multiprocess_mode="livemax"
)
INDEX_REBUILDS = Counter("headrace_index_rebuilds_total", "Rebuild-and-swap rounds that finished.")
SNAPSHOTS = Counter(
    "headrace_index_snapshots_total", "Snapshots of the index: taken, failed, refused at boot.",
    ["outcome"],
)  # fmt: skip
EVENTS = Counter("headrace_events_total", "Events that changed state.", ["type"])
DUPLICATES = Counter("headrace_duplicates_total", "Events that were applied before, and skipped.")
CONFLICTS = Counter("headrace_conflicts_total", "States that another writer changed first; redone.")
FENCED = Counter(
    "headrace_fenced_total", "Batches given up: the stored position had moved.", ["flow"]
)
GENERATIONS = Counter(
    "headrace_topic_generations_total", "Topics found recreated; reading began anew.", ["topic"]
)
MESSAGES_LOST = Counter(
    "headrace_messages_lost_total", "Messages that retention deleted before they were read.",
    ["topic"],
)  # fmt: skip
DEAD_LETTERS = Counter(
    "headrace_dead_letters_total", "Messages that could not be used.", ["topic", "reason"]
)
LAG = Gauge(
    "headrace_lag_messages", "Messages behind the end of a partition.", ["topic", "partition"],
    multiprocess_mode="livemax",
)  # fmt: skip
AWAY = Gauge(
    "headrace_away_seconds",
    "How long a part has waited for Kafka or Redis, which is away; 0 while it works.",
    ["part"],
    multiprocess_mode="livemax",
)
REFUSED = Counter(
    "headrace_refused_total", "Requests answered with 503: Kafka or Redis did not take them."
)
EVENT_LAG = Gauge(
    "headrace_event_lag_seconds", "Now minus the time of the newest event folded.", ["flow"]
)
BATCH_SECONDS = Histogram(
    "headrace_batch_seconds", "One micro-batch in one phase of a flow.", ["flow", "phase"],
    buckets=_STEP,
)  # fmt: skip
UNUSABLE = Counter(
    "headrace_unusable_records_total",
    "Records of the engine's own topics that a replica could not apply, and passed over.",
    ["topic"],
)
VECTORS = Counter("headrace_vectors_total", "Videos turned into vectors, and removals.", ["what"])
IMPRESSIONS_DROPPED = Counter(
    "headrace_impressions_dropped_total", "Impressions that Kafka did not take in time."
)
BUNDLE_REFUSED = Counter(
    "headrace_bundle_refused_total", "Bundles of the lineup that a process did not take."
)
BUNDLE_SWITCHES = Counter(
    "headrace_bundle_switches_total", "Times that a process went on with another bundle."
)
