"""Choosing among dead letters."""

from collections.abc import Iterable

from streams.dead_letters import Found


def matching(found: Iterable[Found], topic: str | None, reason: str | None) -> list[Found]:
    """Those from `topic` whose reason contains `reason` (any case), oldest first."""
    chosen = [
        f
        for f in found
        if (topic is None or f.letter.topic == topic)
        and (reason is None or reason.lower() in f.letter.reason.lower())
    ]
    return sorted(chosen, key=lambda f: f.letter.at)
