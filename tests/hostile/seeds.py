"""Honest messages made by the repository's own encoders: where hypothesis and the fuzzer begin."""

from typing import Any, Final

import msgspec
import numpy as np

from contracts.engine_records import (
    DeadLetter,
    Impression,
    Neighbours,
    VideoStats,
    encode_dead_letter,
    encode_record,
)
from contracts.events import Context, Event, encode_event
from contracts.lineup import Lineup, Published, encode_model
from contracts.profiles import Profile, encode_profile
from contracts.stats_rows import messages, of_records
from contracts.user_record import new_users, user_dtype
from contracts.videos import Video, VideoVector, encode_vector, encode_video
from operators.blobs import to_blobs
from operators.derive import derive
from operators.stat_columns import stat_events
from operators.video_stats import PartitionStats
from streams.user_batch import decode_batch
from tests.hostile import targets
from tests.hostile.targets import NOW_MS

EVENT: Final = Event(
    "e1", "u", "watch", NOW_MS, "v0", 20_000, 30_000, 4.5, "chess", "c1", "token",
    Context("4g", "phone", "DE", "de-AT"),
)  # fmt: skip
SEARCH: Final = Event("e2", "u", "search", NOW_MS // 1000, query="chess openings")
PROFILE: Final = Profile("u", "DE", "de", 27, "phone", "free", ("chess",), ("c1",), NOW_MS)
VIDEO: Final = Video(
    "v9", NOW_MS, "title", "described", ("tag",), "chess", "de", ("DE",), "c1", 30_000, "/x.jpg", 12,
    "published", True, (0.1, 0.2, 0.3, 0.4),
)  # fmt: skip
IMPRESSION: Final = Impression(
    "r1", "u", NOW_MS, "home", "day0", "home", "full", "DE", ("v0", "v1"), (0, 1), (1.0, 0.1),
    {"age_h": b"\0" * 8},
)  # fmt: skip
STATS: Final = VideoStats(
    7, "events:0", NOW_MS, (10.0, 5.0, 2.0, 1.0, 1.0), 3.0, {17477: 2.0}, Neighbours((8,), (1.5,))
)
TOKEN: Final = "events:3:1234"


def fields(struct: msgspec.Struct) -> dict[str, Any]:
    """As JSON knows them, defaults and all."""
    return {name: getattr(struct, name) for name in struct.__struct_fields__}


def as_json(struct: msgspec.Struct) -> dict[str, Any]:
    """Every field of a struct in plain values."""
    out: dict[str, Any] = msgspec.to_builtins(fields(struct))
    return out


def vector() -> bytes:
    """A record of `video-vectors`."""
    made = targets.bundle().items.embed([VIDEO])[0].astype("<f4").tobytes()
    return encode_vector(VideoVector(VIDEO, "day0", made, 0, 5, NOW_MS))


def vector_of_two() -> bytes:
    """The same, of a time in which another bundle was held beside."""
    made = targets.bundle().items.embed([VIDEO])[0].astype("<f4").tobytes()
    record = VideoVector(VIDEO, "small", made[:128], 0, 5, NOW_MS, {"day0": made})
    return encode_vector(record)


def blob() -> bytes:
    """A person's state after two events."""
    values = [encode_event(EVENT), encode_event(SEARCH)]
    batch = decode_batch(_batch("events", values), targets.TOLERANCE_MS)
    records = new_users(1, user_dtype(targets.bundle().users.hidden, targets.bundle().users.dim))
    derive(records, targets.bundle(), targets.catalog())
    targets.fold_batch(records, batch)
    return bytes(records.tobytes())


def packed() -> list[bytes]:
    dtype = user_dtype(targets.bundle().users.hidden, targets.bundle().users.dim)
    return to_blobs(np.frombuffer(blob(), dtype))


def stored_statistics() -> bytes:
    """The fields of a small partition, framed as the target reads them."""
    columns = decode_batch(_batch("events", [encode_event(EVENT)]), targets.TOLERANCE_MS).events
    stats = PartitionStats("events:0", targets.STATS)
    stats.fold_events(stat_events(columns, np.arange(len(columns))))
    return b"".join(
        bytes([len(name)]) + len(content).to_bytes(2, "little") + name + content
        for name, content in stats.changed().set.items()
        if len(content) < 1 << 16
    )


def _batch(topic: str, values: list[bytes | None] | list[bytes]) -> Any:
    from streams.batches import Batch

    return Batch({topic: targets.raw(topic, values)}, {}, {})


def seeds() -> dict[str, list[bytes]]:
    """Target -> messages that it takes."""
    letter = DeadLetter.of(b"payload", "reason", "events", 0, 1, NOW_MS)
    return {
        "an_event": [encode_event(EVENT), encode_event(SEARCH)],
        "a_profile": [encode_profile(PROFILE)],
        "a_forgotten_person": [b"u"],
        "an_impression": [encode_record(IMPRESSION)],
        "a_video": [encode_video(VIDEO)],
        "a_removed_video": [b"v0"],
        "a_vector": [vector(), vector_of_two()],
        "a_removed_vector": [b"0:17"],
        "statistics": [encode_record(STATS), *messages(of_records([STATS]))],
        "a_lineup": [encode_model(Lineup("small", "day0", NOW_MS)), encode_model(Lineup("day0"))],
        "a_published_bundle": [
            encode_model(Published("small", "day0", 32, 32, "00ff", NOW_MS, {"ndcg": 0.1}))
        ],
        "a_dead_letter": [encode_dead_letter(letter)],
        "a_blob": [blob(), *packed()],
        "a_stored_position": [b"0:AAAAAAAAAAAAAAAAAAAAAA:1234"],
        "stored_statistics": [stored_statistics()],
        "a_token": [TOKEN.encode()],
    }
