"""What `models` and `video-vectors` say about bundles, and what is made of it."""

from dataclasses import dataclass, field
from typing import Any, cast

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import BadMessageError, BundleError
from contracts.ids import hash64
from contracts.lineup import (
    LINEUP_KEY,
    Lineup,
    Published,
    decode_lineup,
    decode_published,
    encode_model,
)
from contracts.videos import Video, VideoVector, decode_vector, encode_vector
from model_runtime.day0 import Day0
from model_runtime.manifest import checked_name
from operators.catalog import Catalog
from streams.catalog_follower import apply_vectors

OLD, NEW = Day0().bundle(), Day0(dim=32).bundle("small")
VIDEO = Video("v", 1, "pasta", category="cooking")
names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", fullmatch=True)


@dataclass
class Said:
    """A message of `video-vectors`."""

    said: bytes | None
    at: list[tuple[str, bytes]] = field(default_factory=list)

    def key(self) -> bytes:
        return b"v"

    def value(self) -> bytes | None:
        return self.said

    def headers(self) -> list[tuple[str, bytes]]:
        return self.at

    def partition(self) -> int:
        return 0

    def offset(self) -> int:
        return 0


def record(offset: int, title: str = "pasta", again: bool = False, both: bool = True) -> Said:
    video = msgspec.structs.replace(VIDEO, title=title)
    vectors = {b.id: b.items.embed([video])[0].astype("<f4").tobytes() for b in (OLD, NEW)}
    others = {NEW.id: vectors[NEW.id]} if both else {}
    made = VideoVector(video, OLD.id, vectors[OLD.id], 0, offset, 1, others)
    return Said(encode_vector(made), [("source", b"0:%d" % offset)] if again else [])


def apply(catalog: Catalog, bundle: str, *said: Said) -> int:
    return len(apply_vectors(catalog, bundle, cast(Any, said)).ids)


@given(names, st.none() | names, st.integers(0, 2**40))
def test_a_lineup_comes_back_and_lists_live_first_and_nothing_twice(
    live: str, beside: str | None, since_ms: int
) -> None:
    lineup = decode_lineup(encode_model(Lineup(live, beside, since_ms)))
    assert lineup == Lineup(live, beside, since_ms)
    assert lineup.bundles[0] == live
    assert set(lineup.bundles) == {live, beside} - {None}
    assert len(lineup.bundles) == len(set(lineup.bundles))


def test_no_bundle_can_be_called_as_the_lineup_is() -> None:
    with pytest.raises(BundleError):
        checked_name(LINEUP_KEY.decode())


@given(st.binary(max_size=64) | st.sampled_from([b"{}", b'{"live": ""}', b'{"live": 3}', b"[]"]))
def test_garbage_is_a_bad_message_and_nothing_else(payload: bytes) -> None:
    with pytest.raises(BadMessageError, match="not a lineup"):
        decode_lineup(payload)
    with pytest.raises(BadMessageError, match="not a published bundle"):
        decode_published(payload)


def test_what_was_published_comes_back() -> None:
    said = Published("a", "day0", 64, 64, "seal", 7, {"ndcg": 0.1})
    assert decode_published(encode_model(said)) == said


def test_each_bundle_finds_its_own_vector_in_a_record_of_two() -> None:
    for bundle in (OLD, NEW):
        catalog = Catalog(bundle.items.dim)
        assert apply(catalog, bundle.id, record(5)) == 1
        rows = catalog.rows_of(np.array([hash64("v")], np.int64))
        np.testing.assert_allclose(catalog.vectors(rows), bundle.items.embed([VIDEO]), atol=1e-3)


def test_a_record_without_the_bundle_s_vector_changes_nothing() -> None:
    catalog = Catalog(NEW.items.dim)
    assert apply(catalog, NEW.id, record(5, both=False)) == 0
    assert len(catalog) == 0


def test_a_record_of_one_bundle_is_written_as_it_was_before_there_were_two() -> None:
    plain = msgspec.msgpack.decode(cast(bytes, record(5, both=False).said))
    assert set(plain) == {
        "video", "bundle", "vector", "source_partition", "source_offset", "produced_ms"
    }  # fmt: skip
    with pytest.raises(BadMessageError):
        decode_vector(msgspec.msgpack.encode({**plain, "others": {"small": b"123"}}))


def test_what_is_said_again_reaches_only_who_does_not_stand_there() -> None:
    catalog, fresh = Catalog(OLD.items.dim), Catalog(NEW.items.dim)
    assert apply(catalog, OLD.id, record(5)) == 1
    assert apply(catalog, OLD.id, record(5, again=True)) == 0
    assert apply(fresh, NEW.id, record(5, again=True)) == 1
    assert apply(catalog, OLD.id, record(6, again=True)) == 1


def test_what_is_said_again_is_not_even_read_by_who_stands_there(
    caplog: pytest.LogCaptureFixture,
) -> None:
    catalog = Catalog(OLD.items.dim)
    garbage = Said(b"not a vector", [("source", b"0:5")])
    apply(catalog, OLD.id, record(5))
    apply(catalog, OLD.id, garbage)
    assert not caplog.records
    apply(Catalog(NEW.items.dim), NEW.id, garbage)
    assert "not a video vector" in caplog.text


def test_what_is_said_again_never_undoes_what_came_later() -> None:
    catalog = Catalog(NEW.items.dim)
    apply(catalog, NEW.id, record(9, "opera"), record(5, "pasta", again=True))
    assert catalog.title(0) == "opera"
    apply(catalog, NEW.id, Said(None, [("source", b"0:12")]), record(9, "opera", again=True))
    assert len(catalog) == 0
