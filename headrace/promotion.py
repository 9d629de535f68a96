"""Making another bundle the live one, under traffic: prepare, wait until everybody holds it, switch.

Each of the two steps is one record on the topic `models`, so wherever this is cut off there is one live
bundle. What prepares is every process by itself; this only says what is wanted, waits, and looks.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

import redis

from contracts.errors import BundleError, UnavailableError
from contracts.lineup import Lineup
from contracts.settings import Settings
from headrace.lineup import misfit, settings_for
from headrace.models import announce, lineup_of
from model_runtime import bundles
from streams.keys import Keys
from streams.presence import SERVING, Holder, Presence
from streams.vector_marks import VectorMarks

Tell = Callable[[str], object]
T = TypeVar("T")
_LOOK_EVERY_S: Final = 0.2
_SWITCH_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class Deployment:
    """Where the processes say what they hold."""

    settings: Settings
    presence: Presence
    marks: VectorMarks

    @classmethod
    def of(cls, settings: Settings, client: redis.Redis) -> "Deployment":
        """The one that the settings point to."""
        keys = Keys(settings.redis.namespace)
        return cls(settings, Presence(client, keys.holders), VectorMarks(client, keys.vector_marks))


def promote(
    settings: Settings, client: redis.Redis, bundle_id: str, timeout_s: float, tell: Tell
) -> Lineup:
    """Make a bundle the live one; the one before is held beside it from then on.

    A refused one leaves beside what was held there. While the other was made ready nobody held it, so
    its vectors, catalogs and indexes are made again: a rollback to it waits for them.

    Raises:
        BundleError: it cannot be read, or a process refuses it; what was live stays live.
        UnavailableError: not ready in time, or Kafka or Redis does not answer.
    """
    bundle = bundles.load(settings_for(settings, client).model, bundle_id)
    if told := misfit(bundle, settings.stats):
        tell(told)
    there, before = Deployment.of(settings, client), lineup_of(settings)
    if before.live == bundle_id:
        tell(f"{bundle_id} is live already")
        return before
    held = before.beside
    if held != bundle_id:
        tell(f"{bundle_id} is made ready beside {before.live}")
        before = announce(settings, Lineup(before.live, bundle_id, _now_ms()))
    try:
        _prepared(there, bundle_id, timeout_s, tell)
    except BundleError:
        back = announce(
            settings, Lineup(before.live, None if held == bundle_id else held, _now_ms())
        )
        if back.beside is not None:
            tell(f"{back.beside} is held beside {back.live} again")
        raise
    return _switch(there, before, tell)


def rollback(settings: Settings, client: redis.Redis, tell: Tell) -> Lineup:
    """Make the bundle that is held beside the live one live again.

    Raises:
        BundleError: there is none.
        UnavailableError: Kafka or Redis does not answer.
    """
    before = lineup_of(settings)
    if before.beside is None:
        raise BundleError(f"nothing is held beside {before.live}: promote what shall be live")
    return _switch(Deployment.of(settings, client), before, tell)


def missing(bundle_id: str, marks: VectorMarks, holders: Sequence[Holder]) -> str:
    """What is not ready yet for a bundle, as a sentence; empty when nothing is.

    Raises:
        BundleError: a process refuses it.
    """
    for holder in holders:
        if bundle_id in holder.refused:
            raise BundleError(
                f"{holder.role} {holder.process} refuses it: {holder.refused[bundle_id]}"
            )
    made, of = marks.progress(bundle_id)
    if not of or made < of:
        by = "" if any(h.role == "video-vectors" for h in holders) else "; no vector flow runs"
        return f"vectors of {made} of {of} partitions are made{by}"
    late = [f"{h.role} {h.process}" for h in holders if bundle_id not in h.ready]
    return f"{', '.join(late)} has not read all of them" if late else ""


def _prepared(there: Deployment, bundle_id: str, timeout_s: float, tell: Tell) -> None:
    began, told = time.monotonic(), ""
    while what := _ask(lambda: missing(bundle_id, there.marks, there.presence.holders())):
        if what != told:
            tell(what)
            told = what
        if time.monotonic() - began > timeout_s:
            raise UnavailableError(
                f"not ready within {timeout_s:.0f} s: {what}. It goes on being made ready: promote "
                "it again, or `headrace models release` to give it up"
            )
        time.sleep(_LOOK_EVERY_S)
    tell(f"ready after {time.monotonic() - began:.1f} s")


def _switch(there: Deployment, before: Lineup, tell: Tell) -> Lineup:
    """Live and beside change places; waits until it is so everywhere, but not for ever."""
    now = lineup_of(there.settings)
    if (now.live, now.beside) != (before.live, before.beside):
        raise BundleError(f"somebody else has promoted {now.live} meanwhile")
    assert before.beside is not None
    after = announce(there.settings, Lineup(before.beside, before.live, _now_ms()))
    began = time.monotonic()
    while late := _ask(lambda: _elsewhere(after.live, there.presence.holders())):
        if time.monotonic() - began > _SWITCH_S:
            tell(f"{after.live} is live, but not yet at {', '.join(late)}")
            return after
        time.sleep(_LOOK_EVERY_S)
    tell(f"{after.live} is live everywhere after {time.monotonic() - began:.1f} s")
    return after


def _elsewhere(live: str, holders: Sequence[Holder]) -> list[str]:
    """Serving processes that work with another bundle; the flows follow them by themselves."""
    return [h.process for h in holders if h.role == SERVING and h.bundle != live]


def _ask(question: Callable[[], T]) -> T:
    """Raises UnavailableError if Redis does not answer."""
    try:
        return question()
    except redis.RedisError as e:
        raise UnavailableError(f"Redis: {e}") from None


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
