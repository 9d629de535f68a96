"""Laws of a trend's windows: in each of them a person counts once, however loud."""

from hypothesis import given, settings
from hypothesis import strategies as st

from operators.video_stats import PartitionStats
from tests.unit.stats_logs import (
    MINUTE_MS,
    NOW_MS,
    SETTINGS,
    Row,
    columns,
    folded,
    pieces,
    published,
    row,
    rows,
)


def test_one_loud_client_cannot_make_a_trend() -> None:
    """1,000 events of one person move a trend by one person a window, however they are cut."""
    start = NOW_MS - NOW_MS % (10 * MINUTE_MS)
    loud = [row(user=1, video=7, ts_ms=start + i * 500) for i in range(1000)]  # 8.3 minutes
    stats = PartitionStats("events:0", SETTINGS)
    for piece in pieces(loud, [1, 10, 500]):
        stats.fold_events(columns(piece))
    (record,) = published(stats)
    assert record.trend <= 1
    assert record.counts[1] <= 1
    crowd_of_two = [row(user=u, video=8, ts_ms=start + 499_500) for u in (2, 3)]
    stats.fold_events(columns(crowd_of_two))
    trend = {r.video: r.trend for r in published(stats)}
    assert trend[8] > trend[7]


@settings(max_examples=30, deadline=None)
@given(st.lists(rows, min_size=1, max_size=80))
def test_a_person_is_worth_at_most_one_a_video_a_window(log: list[Row]) -> None:
    log = [(1, *r[1:]) for r in log]
    windows = {(r[1], r[5] // (10 * MINUTE_MS)) for r in log}
    for record in published(folded(log)):
        most = sum(video == record.video for video, _ in windows)
        assert record.trend <= most + 1e-9
        assert sum(record.trend_by_country.values()) <= most + 1e-9


def test_the_next_window_counts_the_person_again() -> None:
    log = [row(ts_ms=NOW_MS + i * 10 * MINUTE_MS) for i in range(3)]
    (record,) = published(folded(log))
    assert 2 < record.trend < 3
