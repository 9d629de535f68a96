"""Choosing among dead letters, of which there may be more than memory holds."""

import heapq
from collections.abc import Iterable, Iterator

from streams.dead_letters import Found


def matching(found: Iterable[Found], topic: str | None, reason: str | None) -> Iterator[Found]:
    """Those from `topic` whose reason contains `reason` (any case)."""
    return (
        f
        for f in found
        if (topic is None or f.letter.topic == topic)
        and (reason is None or reason.lower() in f.letter.reason.lower())
    )


def newest(found: Iterable[Found], n: int) -> tuple[list[Found], int]:
    """The latest `n`, oldest first, and how many there were."""
    count = 0

    def counted() -> Iterator[Found]:
        nonlocal count
        for count, one in enumerate(found, 1):  # noqa: B007
            yield one

    latest = heapq.nlargest(n, counted(), key=lambda f: f.letter.at)
    return latest[::-1], count
