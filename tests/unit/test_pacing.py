"""What a follower beside something that serves does with a batch."""

from collections.abc import Sequence
from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st

from streams.pacing import paced


@given(st.integers(0, 900), st.integers(0, 5))
def test_every_message_is_applied_once_and_in_order_whenever_the_hurry_begins(
    n: int, slices_before: int
) -> None:
    got: list[list[int]] = []

    def apply(_: str, messages: Sequence[Any]) -> None:
        got.append(list(messages))

    paced(apply, lambda: len(got) >= slices_before)("t", cast(Any, list(range(n))))
    assert [m for part in got for m in part] == list(range(n))


@given(st.integers(1, 5000))
def test_in_a_hurry_a_batch_is_applied_as_it_is(n: int) -> None:
    got: list[int] = []
    paced(lambda _, m: got.append(len(m)), lambda: True)("t", cast(Any, [None] * n))
    assert got == [n]
