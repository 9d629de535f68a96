"""Single messages that broke something once, or would: each has a sentence."""

from typing import Any

import msgspec
import numpy as np
import pytest

from contracts.engine_records import decode_dead_letter, decode_impression, decode_stats
from contracts.errors import BadMessageError, ConfigError
from contracts.events import encode_event
from contracts.profiles import Profile, encode_profile
from contracts.user_record import LAYOUT, new_users, user_dtype
from contracts.videos import decode_vector, encode_vector
from operators.blobs import from_blobs
from operators.describe import describe
from operators.video_stats import PartitionStats
from streams.batches import Batch
from streams.positions import Stored
from streams.user_batch import decode_batch
from tests.hostile import seeds, targets
from tests.hostile.targets import NOW_MS

DTYPE = user_dtype(targets.bundle().users.hidden, targets.bundle().users.dim)


def packed(record: Any, **changes: Any) -> bytes:
    """Msgpack of a record with fields that its type would not take."""
    return msgspec.msgpack.encode(msgspec.to_builtins(seeds.fields(record)) | changes)


@pytest.mark.parametrize("mass", [float("nan"), float("inf"), 1e300])
@pytest.mark.parametrize("field", ["counts", "trend", "trend_by_country", "neighbours"])
def test_statistics_that_would_spoil_every_sum_are_refused(field: str, mass: float) -> None:
    spoilt = {
        "counts": [mass] * 5, "trend": mass, "trend_by_country": {17477: mass},
        "neighbours": {"ids": [8], "weights": [mass]},
    }  # fmt: skip
    with pytest.raises(BadMessageError, match=field):
        decode_stats(packed(seeds.STATS, **{field: spoilt[field]}))


def test_statistics_of_no_video_that_there_can_be_are_refused() -> None:
    with pytest.raises(BadMessageError, match="video"):
        decode_stats(packed(seeds.STATS, video=2**63))
    with pytest.raises(BadMessageError, match="neighbours"):
        decode_stats(packed(seeds.STATS, neighbours={"ids": [1, 2], "weights": [1.0]}))


def test_a_page_of_a_hundred_thousand_videos_does_not_hold_the_flow_up() -> None:
    n = 100_000  # each video of a page is a round of the fold: 0.1 ms, one after the other
    page = packed(seeds.IMPRESSION, video_ids=["v"] * n, positions=[0] * n, propensities=[1.0] * n)
    with pytest.raises(BadMessageError, match="1000"):
        decode_impression(page)


def test_a_vector_too_long_for_half_precision_stays_out_of_the_catalog() -> None:
    record = decode_vector(seeds.vector())
    long = np.full(targets.bundle().items.dim, 1e5, "<f4").tobytes()
    targets.a_vector(encode_vector(msgspec.structs.replace(record, vector=long)))


def test_a_vector_whose_place_is_no_place_is_refused() -> None:
    record = decode_vector(seeds.vector())
    for field in ("source_offset", "produced_ms", "source_partition"):
        fields = seeds.fields(record) | {field: 2**64 - 1}
        with pytest.raises(BadMessageError, match=field):
            decode_vector(msgspec.msgpack.encode(fields))


def test_a_removal_at_an_impossible_offset_does_not_end_snapshots_for_good() -> None:
    targets.a_removed_vector(b"0:99999999999999999999999")
    targets.a_removed_vector(b"\xff:1")


def test_a_removal_without_a_readable_key_is_a_dead_letter() -> None:
    for key in (None, b"", b"\xff\xfe", b"x" * 1_000_000):
        targets.a_video(None, key)
        targets.user_messages("profiles", [None], key)


def test_a_dead_letter_whose_payload_is_not_base64_is_no_dead_letter() -> None:
    letter = b'{"payload_base64":"x","reason":"r","topic":"t","partition":0,"offset":0,"at":1}'
    with pytest.raises(BadMessageError, match="dead letter"):
        decode_dead_letter(letter)


@pytest.mark.parametrize("raw", [b"", b"7", b"a:b:c", b"-1:t:5", b"1:t:-5", b"1:t:" + b"9" * 30])
def test_a_stored_position_that_is_none_says_what_to_delete(raw: bytes) -> None:
    with pytest.raises(ConfigError, match="delete"):
        Stored.parse(raw)


def test_a_state_of_another_layout_is_not_overwritten() -> None:
    record = new_users(1, DTYPE)
    record["layout"] = LAYOUT + 1
    with pytest.raises(ConfigError, match="layout"):
        from_blobs([record.tobytes()], DTYPE)


def test_stored_statistics_that_are_torn_say_what_to_delete() -> None:
    stats = PartitionStats("events:0", targets.STATS)
    fields = stats.changed().set
    with pytest.raises(ConfigError, match="delete"):
        PartitionStats.restore("events:0", targets.STATS, fields | {b"v" + b"\1" * 8: b"torn"})
    with pytest.raises(ConfigError, match="delete"):
        PartitionStats.restore("events:0", targets.STATS, fields | {b"m": b"\xc1"})


def after(topic: str, values: list[bytes]) -> Any:
    """One person's state after these messages."""
    batch = decode_batch(Batch({topic: targets.raw(topic, values)}, {}, {}), targets.TOLERANCE_MS)
    records = from_blobs([None], DTYPE)
    targets.fold_batch(records, batch)
    return records[0]


def test_a_week_watched_again_and_again_does_not_wrap_to_nothing() -> None:
    week = msgspec.structs.replace(seeds.EVENT, watch_ms=7 * 86_400_000)
    values = [
        encode_event(msgspec.structs.replace(week, event_id=str(i), timestamp=NOW_MS + i))
        for i in range(10)
    ]
    assert after("events", values)["session_watch_ms"] == 2**32 - 1


def test_a_profile_made_at_a_time_in_seconds_was_not_made_in_1970() -> None:
    state = after("profiles", [encode_profile(Profile("u", created_at=NOW_MS // 1000))])
    made = describe(state, lambda _: None, lambda _: None)["profile"]["created_at"]
    assert made == "2026-09-21T14:13:20+00:00"


def test_a_profile_of_the_year_9999_can_be_read() -> None:
    state = after("profiles", [encode_profile(Profile("u", created_at=253_402_300_799_999))])
    assert describe(state, str, str)["profile"]["created_at"].startswith("9999")
