"""Event columns as the statistics see them."""

from contracts.batch import Rows
from contracts.ids import hash64_many
from operators.event_columns import EventColumns
from operators.video_stats import StatEvents


def stat_events(columns: EventColumns, rows: Rows) -> StatEvents:
    """The statistics' view of some rows of a batch."""
    events = columns.rows[rows]
    hashes = hash64_many(columns.users)
    return StatEvents(
        user=hashes[events["user"]],
        video=events["video"],
        action=events["action"],
        share=events["share"],
        watch_ms=events["watch_ms"],
        ts_ms=events["ts_ms"],
        country=events["country"],
    )
