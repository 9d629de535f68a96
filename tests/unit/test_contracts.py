"""What goes over the wire comes back equal; what is malformed is refused with a reason."""

import json
from collections.abc import Callable
from typing import Any

import jsonschema
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts import schemas, user_record
from contracts.batch import merge, nth_in_group, rank_desc
from contracts.engine_records import (
    DeadLetter,
    decode_dead_letter,
    decode_impression,
    decode_stats,
    encode_dead_letter,
)
from contracts.errors import BadMessageError
from contracts.events import Event, decode_event, encode_event, to_ms
from contracts.ids import fold32, fold32_array, hash64, hash64_many, pack_country, unpack_country
from contracts.profiles import Profile, decode_profile, encode_profile
from contracts.videos import Video, decode_vector, decode_video, encode_video
from tests import strategies

DECODERS: list[Callable[[bytes], Any]] = [
    decode_event, decode_video, decode_profile, decode_vector, decode_stats, decode_impression,
    decode_dead_letter,
]  # fmt: skip


@given(strategies.events())
def test_an_event_comes_back_as_it_was(event: Event) -> None:
    assert decode_event(encode_event(event)) == event


@given(strategies.videos)
def test_a_video_comes_back_as_it_was(video: Video) -> None:
    assert decode_video(encode_video(video)) == video


@given(strategies.profiles)
def test_a_profile_comes_back_as_it_was(profile: Profile) -> None:
    assert decode_profile(encode_profile(profile)) == profile


@pytest.mark.parametrize("decode", DECODERS, ids=lambda d: d.__name__)
@given(payload=st.binary(max_size=200) | st.text().map(str.encode))
def test_a_decoder_refuses_any_garbage_with_a_reason(
    decode: Callable[[bytes], Any], payload: bytes
) -> None:
    try:
        decode(payload)
    except BadMessageError as e:
        reason = str(e)
    else:
        return  # by chance it is one
    assert reason


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"event_type": "teleport"}, "event_type"),
        ({"timestamp": -5}, "timestamp"),
        ({"timestamp": 10**40}, "timestamp"),
        ({"user_id": ""}, "user_id"),
        ({"user_id": None}, "user_id"),
        ({"video_id": None}, "video_id"),
        ({"watch_ms": -1}, "watch_ms"),
        ({"rating": 9.5}, "rating"),
        ({"context": 7}, "context"),
        ({"event_type": "search"}, "query"),
    ],
)
def test_an_event_is_refused_by_the_name_of_the_wrong_field(
    change: dict[str, Any], reason: str
) -> None:
    good = {"event_id": "e", "user_id": "u", "video_id": "v", "event_type": "click", "timestamp": 9}
    with pytest.raises(BadMessageError, match=reason):
        decode_event(json.dumps(good | change).encode())


def test_unknown_fields_are_ignored() -> None:
    raw = b'{"event_id":"e","user_id":"u","video_id":"v","event_type":"like","timestamp":9,"x":[1]}'
    assert decode_event(raw).video_id == "v"


def test_an_oversized_event_is_refused() -> None:
    with pytest.raises(BadMessageError, match="bytes"):
        decode_event(b" " * 70_000)


def test_an_embedding_that_is_not_finite_is_refused() -> None:
    with pytest.raises(BadMessageError, match="embedding"):
        decode_video(b'{"video_id":"v","published_at":9,"embedding":[1e999]}')


def test_a_timestamp_in_seconds_becomes_milliseconds() -> None:
    assert to_ms(1_672_531_200) == to_ms(1_672_531_200_000)


@pytest.mark.parametrize("name", sorted(schemas.PUBLISHED))
def test_the_published_schema_is_what_the_struct_says(name: str) -> None:
    published = (schemas.FOLDER / f"{name}.schema.json").read_bytes()
    assert published == schemas.render(name), "run `python -m contracts.schemas`"


@given(strategies.events())
def test_a_usable_event_satisfies_the_published_schema(event: Event) -> None:
    jsonschema.validate(json.loads(encode_event(event)), schemas.schema_of("event"))


def test_the_published_schema_demands_a_video_where_one_is_needed() -> None:
    event = {"event_id": "e", "user_id": "u", "event_type": "like", "timestamp": 9}
    with pytest.raises(jsonschema.ValidationError, match="video_id"):
        jsonschema.validate(event, schemas.schema_of("event"))


@given(st.binary(max_size=1000), st.text(max_size=600))
def test_a_dead_letter_keeps_the_payload_to_the_byte(payload: bytes, reason: str) -> None:
    letter = DeadLetter.of(payload, reason, "events", 3, 12, 99)
    assert decode_dead_letter(encode_dead_letter(letter)).payload == payload


@given(st.lists(strategies.ids))
def test_many_hashes_are_the_hashes_of_each(texts: list[str]) -> None:
    many = hash64_many(texts)
    assert many.tolist() == [hash64(t) for t in texts]
    assert fold32_array(many).tolist() == [fold32(h) for h in many.tolist()]


def test_hashes_do_not_change_between_releases() -> None:
    assert hash64("v_555") == 4793532848045941415


@given(st.text(st.characters(min_codepoint=65, max_codepoint=90), min_size=2, max_size=2))
def test_a_country_survives_packing(code: str) -> None:
    assert unpack_country(pack_country(code.lower())) == code


@given(st.integers(-(2**31), 2**32))
def test_a_code_that_is_no_country_is_read_as_none(code: int) -> None:
    """Stored states are not checked: whoever shows one must not fail by a bit that is wrong in it."""
    letters = unpack_country(code)
    assert letters is None or (letters.isascii() and pack_country(letters) == code)


def test_codes_beyond_two_letters_are_no_country() -> None:
    assert [unpack_country(c) for c in (0, 1, 0x4400, 0x10000 | 0x4445, 1 << 31)] == [None] * 5


@pytest.mark.parametrize("part", sorted(user_record.BUDGET))
def test_each_part_of_the_user_record_keeps_its_byte_budget(part: str) -> None:
    assert np.dtype(getattr(user_record, part)).itemsize <= user_record.BUDGET[part]


def test_a_user_costs_less_than_four_kilobytes() -> None:
    assert user_record.user_dtype(64, 64).itemsize < 4000


def test_the_version_lies_where_the_script_compares_it() -> None:
    fields = user_record.user_dtype(64, 64).fields
    assert fields is not None
    dtype, at = fields["version"][:2]
    assert (at, at + dtype.itemsize) == user_record.VERSION_AT


parts = st.lists(
    st.tuples(st.integers(0, 31), st.lists(st.integers(1, 20), unique=True)), max_size=5,
    unique_by=lambda p: p[0],
)  # fmt: skip


@given(parts)
def test_merge_is_a_union_with_exact_provenance(parts: list[tuple[int, list[int]]]) -> None:
    merged = merge([(bit, np.array(ids, np.int64)) for bit, ids in parts])
    order = list(dict.fromkeys(i for _, ids in parts for i in ids))
    assert merged.ids.tolist() == order
    for row, sources in zip(order, merged.sources.tolist(), strict=True):
        assert sources == sum(1 << bit for bit, ids in parts if row in ids)


@given(st.lists(st.floats(width=32)))
def test_ranking_puts_finite_scores_first_and_keeps_ties(scores: list[float]) -> None:
    values = np.array(scores, np.float32)
    order = rank_desc(values)
    ranked = values[order]
    finite = np.isfinite(ranked)
    assert sorted(order.tolist()) == list(range(len(scores)))
    assert (np.diff(ranked[finite]) <= 0).all()
    assert not finite[int(finite.sum()) :].any()


@given(st.lists(st.integers(0, 5)))
def test_nth_in_group_counts_earlier_rows(group: list[int]) -> None:
    got = nth_in_group(np.array(group, np.int64)).tolist()
    assert got == [group[:i].count(g) for i, g in enumerate(group)]
