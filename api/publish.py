"""Writing what clients post to Kafka, and knowing that Kafka has it."""

import asyncio
import threading
from collections.abc import Sequence
from typing import Any, Final

from api.dependencies import Publisher
from contracts.errors import UnavailableError

ACK_S: Final = 3.0  # longer, and a client's own timeout would hide from it what became of a write


async def send_all(
    publisher: Publisher, topic: str, messages: Sequence[tuple[bytes, bytes]], timeout_s: float
) -> list[tuple[int, int]]:
    """(partition, offset) of every message, in their order, once all are acknowledged.

    Raises:
        UnavailableError: Kafka refused one, or has not all within `timeout_s`. Some may be written
            all the same: whoever sends them again with the same ids counts them once.
    """
    if not messages:
        return []
    acks = _Acks(len(messages))
    for i, (key, value) in enumerate(messages):
        publisher.produce(topic, key, value, acks.at(i))
    try:
        return await asyncio.wait_for(acks.done, timeout_s)
    except TimeoutError:
        raise UnavailableError(f"Kafka did not take {topic} within {timeout_s} s") from None


class _Acks:
    """Counts acknowledgements down, and wakes the event loop once for all of them."""

    def __init__(self, n: int) -> None:
        self._loop = asyncio.get_running_loop()
        self.done: asyncio.Future[list[tuple[int, int]]] = self._loop.create_future()
        self._places: list[tuple[int, int]] = [(0, 0)] * n
        self._left = n
        self._error: str | None = None
        self._lock = threading.Lock()

    def at(self, i: int) -> Any:
        """The callback of message i; any thread may call it."""

        def acked(error: Any, message: Any) -> None:
            with self._lock:
                self._left -= 1
                if error is not None:
                    self._error = str(error)
                else:
                    self._places[i] = (message.partition() or 0, message.offset() or 0)
                last = self._left == 0
            if last and not self._loop.is_closed():
                self._loop.call_soon_threadsafe(self._settle)

        return acked

    def _settle(self) -> None:
        if self.done.done():  # the caller has given up
            return
        if self._error is not None:
            self.done.set_exception(UnavailableError(f"Kafka refused: {self._error}"))
        else:
            self.done.set_result(self._places)
