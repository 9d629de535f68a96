"""Which dead letters are shown."""

from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from contracts.engine_records import DeadLetter
from headrace.letters import matching, newest
from streams.dead_letters import Found


def found(n: int, at: int, topic: str = "events", reason: str = "no JSON") -> Found:
    return Found(DeadLetter.of(b"x", reason, topic, 0, n, at), None, False, False, 0, n)


@given(st.lists(st.integers(0, 9)), st.integers(1, 12))
def test_the_newest_are_shown_oldest_first_and_all_are_counted(times: list[int], n: int) -> None:
    def letters() -> Iterator[Found]:
        return (found(i, at) for i, at in enumerate(times))

    shown, count = newest(letters(), n)
    assert [f.letter.at for f in shown] == sorted(times)[-n:]
    assert len({f.offset for f in shown}) == len(shown)
    assert count == len(times)


def test_topic_and_part_of_the_reason_choose() -> None:
    letters = [found(0, 0), found(1, 0, "videos"), found(2, 0, reason="no user_id")]
    assert [f.offset for f in matching(letters, "events", "NO J")] == [0]
    assert [f.offset for f in matching(letters, None, "no")] == [0, 1, 2]
