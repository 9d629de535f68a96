"""`headrace_event_to_feed_seconds`: how old the newest event is in the first feed that contains it."""

from collections import OrderedDict
from typing import Any

from contracts.metrics import EVENT_TO_FEED


class FreshnessMeter:
    """Observes each viewer's newest event once a worker process.

    What the viewer waited before asking is left out: it is not the engine's. So a feed that comes
    later counts the way into the store and its own latency; a feed that was held for its event (a
    position token) counts from the producer's clock to its answer.

    Attributes:
        capacity: viewers remembered; the one whose feed is longest ago gives way.
    """

    def __init__(self, capacity: int = 16_384) -> None:
        self.capacity = capacity
        self._newest: OrderedDict[str, int] = OrderedDict()

    def observe(
        self, user_id: str, state: Any | None, waited: bool, now_ms: int, latency_s: float
    ) -> float | None:
        """Seconds observed, None if this feed has no event that an earlier one had not.

        Args:
            waited: the feed was held until its event had been folded.
            now_ms: when the feed is answered.
            latency_s: of this feed.
        """
        newest_ms = 0 if state is None else int(state["newest_ms"])
        before_ms = self._newest.get(user_id, 0)
        if newest_ms <= before_ms:
            return None
        self._newest[user_id] = newest_ms
        self._newest.move_to_end(user_id)
        if len(self._newest) > self.capacity:
            self._newest.popitem(last=False)
        folded_s = (int(state["folded_ms"]) - newest_ms) / 1000  # type: ignore[index]
        seconds = (now_ms - newest_ms) / 1000 if waited else folded_s + latency_s
        seconds = max(seconds, 0.0)  # clocks of two machines
        EVENT_TO_FEED.observe(seconds)
        return seconds
