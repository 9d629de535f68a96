"""What is built beside something that serves takes a part of the interpreter's time, not all of it."""

import time
from collections.abc import Callable, Sequence
from typing import Final

from confluent_kafka import Message

from streams.follower import Apply

_REST: Final = 4.0  # times as long as the work took: at most a fifth of the time goes to it
_SLICE: Final = 256  # messages: a feed shares the interpreter with a slice or two, not with a burst


def paced(apply: Apply, in_hurry: Callable[[], bool]) -> Apply:
    """`apply`, a slice at a time with a rest after each, unless there is reason to hurry."""

    def rested(topic: str, messages: Sequence[Message]) -> None:
        for start in range(0, len(messages), _SLICE):
            if in_hurry():
                apply(topic, messages[start:])
                return
            began = time.perf_counter()
            apply(topic, messages[start : start + _SLICE])
            time.sleep(_REST * (time.perf_counter() - began))

    return rested
