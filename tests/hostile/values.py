"""Hypothesis strategies for what an honest encoder never sends."""

import json
from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import msgspec
from hypothesis import strategies as st

NUMBERS = st.sampled_from(
    [0, -1, 1, 2**31, 2**32, 2**53, 2**63 - 1, 2**63, 2**64, -(2**63), 10**400, 1e308, -1e308, 1e38,
     5e-324, -0.0, 1.5, 10**11 - 1, 10**11, 253_402_300_799_999]
) | st.integers() | st.floats()  # fmt: skip
TEXTS = st.sampled_from(
    ["", "\0", " ", "x" * 256, "x" * 257, "x" * 100_000, "\U0010ffff", "ﷺ" * 128, "İİ", "und", "../..",
     "a/b", "\u202e", "NaN", "2026-11-24", "v0"]
) | st.text()  # fmt: skip
NESTED = st.sampled_from([[[]], {}, [{}], {"a": {"a": []}}])
LISTS = st.lists(NUMBERS | TEXTS, max_size=5) | st.sampled_from([[0.0] * 4097, ["x"] * 1000, []])
HOSTILE = st.none() | st.booleans() | NUMBERS | TEXTS | NESTED | LISTS
# What json.dumps cannot write: spliced in as it stands.
RAW = st.sampled_from(
    ['"\\ud800"', '"\\ud800\\u0041"', "NaN", "Infinity", "-Infinity", "1e400", "1" * 400, "01", "0x1",
     "[" * 20_000 + "]" * 20_000, '{"a":' * 5_000 + "1" + "}" * 5_000, '"\\u0000"', "1.0", "1E2", ""]
)  # fmt: skip


def changed(good: Mapping[str, Any]) -> st.SearchStrategy[bytes]:
    """JSON of `good` with some of its fields hostile, missing, twice, or not JSON at all."""
    name = st.sampled_from(sorted(good))
    fields = st.dictionaries(name, HOSTILE, max_size=3)
    spliced = st.dictionaries(name, RAW, max_size=1)
    gone = st.sets(name, max_size=1)
    twice = st.dictionaries(name, HOSTILE, max_size=1)

    def made(
        fields: dict[str, Any], spliced: dict[str, str], gone: set[str], twice: dict[str, Any]
    ) -> bytes:
        parts = {k: json.dumps(v) for k, v in {**good, **fields}.items() if k not in gone} | spliced
        pairs = [*parts.items(), *((k, json.dumps(v)) for k, v in twice.items())]
        return ("{" + ",".join(f"{json.dumps(k)}:{v}" for k, v in pairs) + "}").encode(
            "utf-8", "surrogatepass"
        )

    return st.builds(made, fields, spliced, gone, twice)


SMALL = st.integers(-(2**63), 2**64 - 1)  # what msgpack can say
PACKABLE = (
    st.none() | st.booleans() | SMALL | st.floats() | st.text(max_size=20) | st.binary(max_size=20)
    | st.sampled_from(["x" * 100_000, [1] * 5_000, {}, [], {1: 1e300}, {2**40: 1.0}, [float("nan")] * 5])
    | st.builds(msgspec.msgpack.Ext, st.integers(-128, 127), st.binary(max_size=8))
)  # fmt: skip


def repacked(good: bytes) -> st.SearchStrategy[bytes]:
    """Msgpack of the record `good` with some of its fields, or of its parts' fields, hostile."""
    record = msgspec.msgpack.decode(good)
    paths = [(k,) for k in record] + [
        (k, inner) for k, v in record.items() if isinstance(v, dict) for inner in v
    ]

    def made(changes: dict[tuple[Any, ...], Any]) -> bytes:
        out = msgspec.msgpack.decode(good)
        for (*way, last), value in changes.items():
            at = out
            for step in way:
                at = at[step] if isinstance(at, dict) else None
            if isinstance(at, dict):
                at[last] = deepcopy(value)
        return msgspec.msgpack.encode(out)

    return st.builds(made, st.dictionaries(st.sampled_from(paths), PACKABLE, max_size=3))


def damaged(good: bytes) -> st.SearchStrategy[bytes]:
    """`good` with some bytes changed, cut off or added."""

    def made(changes: list[tuple[int, int]], end: int | None, tail: bytes) -> bytes:
        out = bytearray(good)
        for at, value in changes:
            if out:
                out[at % len(out)] = value
        return bytes(out[:end]) + tail

    change = st.tuples(st.integers(0, max(len(good) - 1, 0)), st.integers(0, 255))
    return st.builds(
        made,
        st.lists(change, max_size=8),
        st.none() | st.integers(0, len(good)),
        st.binary(max_size=8),
    )
