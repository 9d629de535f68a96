"""Laws of the statistics of one source partition: cut, written or restored, they are the same."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.errors import ConfigError
from contracts.events import Action
from operators.video_stats import PartitionStats
from tests.unit.stats_logs import (
    MINUTE_MS,
    NOW_MS,
    SETTINGS,
    SMALL,
    Row,
    all_fields,
    columns,
    folded,
    pieces,
    plain,
    published,
    row,
    rows,
    same,
    stored,
    whole,
)

crowd = st.lists(
    st.builds(
        row,
        user=st.integers(1, 60),
        video=st.integers(1, 60),
        action=st.sampled_from([Action.CLICK, Action.LIKE, Action.SKIP]),
        ts_ms=st.integers(0, 40).map(lambda m: NOW_MS + m * MINUTE_MS),
    ),
    max_size=150,
)
cuts = st.lists(st.integers(0, 150), max_size=5)


def told(fields: dict[bytes, bytes]) -> dict[bytes, bytes]:
    """Without sketches that hold nothing: to store them or not is the same."""
    return {k: v for k, v in fields.items() if k[:1] not in (b"c", b"n") or len(v) > 8}


@settings(max_examples=60, deadline=None)
@given(st.lists(rows, max_size=60), cuts)
def test_a_log_cut_anywhere_folds_to_the_same_state(log: list[Row], at: list[int]) -> None:
    part = PartitionStats("events:0", SETTINGS)
    for piece in pieces(log, at):
        part.fold_events(columns(piece))
    same(plain(published(part)), plain(published(folded(log))))


@settings(max_examples=60, deadline=None)
@given(crowd, cuts)
def test_cuts_do_not_matter_while_tables_overflow_either(log: list[Row], at: list[int]) -> None:
    part = PartitionStats("events:0", SMALL)
    for piece in pieces(log, at):
        part.fold_events(columns(piece))
    clean = folded(log, SMALL)
    same(whole(part, SMALL), whole(clean, SMALL))
    assert part.changed().evicted == clean.changed().evicted
    assert len(part.table) <= SMALL.videos_per_partition
    assert len(part._viewers) <= SMALL.viewers_per_partition


@settings(max_examples=60, deadline=None)
@given(crowd, cuts)
def test_a_state_restored_after_any_write_goes_on_like_one_never_interrupted(
    log: list[Row], at: list[int]
) -> None:
    stats, fields = PartitionStats("events:0", SMALL), dict[bytes, bytes]()
    for piece in pieces(log, at):
        stats.fold_events(columns(piece))
        changes = stats.changed()
        again = stats.changed()
        assert again.set == changes.set
        assert again.delete == changes.delete
        fields = stored(fields, changes)
        stats.saved()
        assert set(stats.changed().set) == {b"m"}
        assert told(fields) == told(all_fields(stats))
        stats = PartitionStats.restore("events:0", SMALL, fields)
    same(whole(stats, SMALL), whole(folded(log, SMALL), SMALL))


@settings(max_examples=40, deadline=None)
@given(st.lists(rows, max_size=40), st.lists(rows, max_size=40))
def test_a_write_that_failed_is_in_the_next_one(one: list[Row], two: list[Row]) -> None:
    stats = folded(one)
    stats.changed()  # published, then refused: `saved` is not called
    stats.fold_events(columns(two))
    fields = stored({}, stats.changed())
    back = PartitionStats.restore("events:0", SETTINGS, fields)
    same(whole(back), whole(folded([*one, *two])))


def test_the_long_log_of_a_sketch_survives_writes_before_and_after_it_is_worked_in() -> None:
    rng = np.random.default_rng(5)
    stats, fields = PartitionStats("events:0", SETTINGS), dict[bytes, bytes]()
    log: list[Row] = []
    for batch in range(12):
        more = [
            row(user=int(u), video=int(v), ts_ms=NOW_MS + batch * 1000)
            for u, v in zip(rng.integers(1, 300, 1000), rng.integers(1, 400, 1000), strict=True)
        ]
        log += more
        stats.fold_events(columns(more))
        fields = stored(fields, stats.changed())
        stats.saved()
        assert told(fields) == told(all_fields(stats))
    assert stats.table.neighbours.settled > 0 < len(stats.table.neighbours.log)
    same(whole(PartitionStats.restore("events:0", SETTINGS, fields)), whole(folded(log)))


def test_a_state_of_another_layout_is_refused() -> None:
    fields = folded([row()]).changed().set
    fields[b"m"] = fields[b"m"].replace(b"\xa6layout\x01", b"\xa6layout\x09")
    with pytest.raises(ConfigError, match="layout 9"):
        PartitionStats.restore("events:0", SETTINGS, fields)
