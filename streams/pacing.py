"""What is built beside something that serves takes a part of the interpreter's time, not all of it."""

import time
from collections.abc import Callable, Sequence
from typing import Final

from confluent_kafka import Message

from streams.follower import Apply

_REST: Final = 2.0  # times as long as the work took: at most a third of the time goes to it


def paced(apply: Apply, in_hurry: Callable[[], bool]) -> Apply:
    """`apply`, with a rest after each batch unless there is reason to hurry."""

    def rested(topic: str, messages: Sequence[Message]) -> None:
        began = time.perf_counter()
        apply(topic, messages)
        if not in_hurry():
            time.sleep(_REST * (time.perf_counter() - began))

    return rested
