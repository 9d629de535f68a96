"""Generator: feeds over HTTP at a fixed rate, whether or not earlier ones have been answered.

Before every fifth one its viewer watches something, and asks with the position token: from the
event's own timestamp to the answer is event -> feed by the client's clock. Times are counted from
when a feed was due, so that a generator that is held up hides nothing.
"""

import asyncio
import time
from collections import Counter
from random import Random
from typing import Any, Final

import httpx

from bench.soak.pacing import TICK_S, Pace, Teller, world_of_arguments
from bench.soak.world import World, video_id, viewer_id
from contracts.events import Event
from headrace.simulator.client import Client, RefusedError

_AT_ONCE: Final = 64  # more are not asked, and counted
_LIMIT: Final = 20
_WATCHES: Final = 5


class Feeds:
    """Asks and measures; belongs to one event loop."""

    def __init__(self, world: World, client: Client) -> None:
        self._world, self._client, self._rng = world, client, Random(0)
        self._asking: set[asyncio.Task[None]] = set()
        self._feed_ms: list[float] = []
        self._fresh_ms: list[float] = []
        self._asked = self._posted = 0
        self._rungs: Counter[str] = Counter()
        self._errors: Counter[str] = Counter()

    def ask(self, due_s: float) -> None:
        """One feed, in the background."""
        if len(self._asking) >= _AT_ONCE:
            self._errors["not asked: too many wait"] += 1
            return
        self._asked += 1
        task = asyncio.create_task(self._ask(self._asked, due_s))
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)

    async def rest(self) -> None:
        """Wait for those that were asked."""
        if self._asking:
            await asyncio.wait(self._asking, timeout=5.0)

    def said(self) -> dict[str, Any]:
        """Durations since the last call, counts since the start."""
        feed_ms, self._feed_ms = self._feed_ms, []
        fresh_ms, self._fresh_ms = self._fresh_ms, []
        return {
            "feed_ms": feed_ms, "fresh_ms": fresh_ms, "asked": self._asked, "posted": self._posted,
            "rungs": self._rungs, "errors": self._errors,
        }  # fmt: skip

    async def _ask(self, number: int, due_s: float) -> None:
        there = self._world.viewers_at(due_s)
        user, params = viewer_id(self._rng.randrange(there.start, there.stop)), {"limit": _LIMIT}
        try:
            if number % _WATCHES == 0:
                await self._watch_and_ask(number, user, due_s)
                return
            page = await self._client.feed(user, params)
        except RefusedError as e:
            self._errors[e.kind] += 1
            return
        self._feed_ms.append(round((time.time() - due_s) * 1000, 2))
        self._rungs[page.degraded or "full"] += 1

    async def _watch_and_ask(self, number: int, user: str, due_s: float) -> None:
        there = self._world.videos_at(due_s)
        event = Event(
            f"f{number}", user, "watch", int(due_s * 1000),
            video_id(self._rng.randrange(there.start, there.stop)),
            watch_ms=29_000, duration_ms=30_000,
        )  # fmt: skip
        posted = await self._client.post([event])
        self._posted += posted.accepted
        page = await self._client.feed(user, {"limit": _LIMIT, "after": posted.position or ""})
        self._fresh_ms.append(round((time.time() - due_s) * 1000, 2))
        self._rungs[page.degraded or "full"] += 1


async def _run(world: World) -> None:
    limits = httpx.Limits(max_connections=_AT_ONCE)
    async with httpx.AsyncClient(
        base_url=world.api, timeout=5.0, limits=limits, trust_env=False
    ) as http:
        feeds, pace = Feeds(world, Client(http)), Pace(world.feeds, world.began_s)
        teller = Teller(feeds.said)
        await asyncio.sleep(world.began_s - time.time())
        while (now_s := time.time()) < world.ends_s:
            for _ in range(pace.due(now_s)):
                feeds.ask(now_s)
            teller.tell(now_s)
            await asyncio.sleep(TICK_S)
        await feeds.rest()
        teller.tell(time.time(), final=True)


def main() -> None:
    """Ask until the world's end."""
    asyncio.run(_run(world_of_arguments()))


if __name__ == "__main__":
    main()
